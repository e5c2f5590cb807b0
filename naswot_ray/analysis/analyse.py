"""From joined rows to a table of every metric of every predictor, and of how far measures depend on seed, batch and images."""

from __future__ import annotations

import itertools
import math
import os
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from naswot_ray.analysis.correlation import FloatArray, Ranked, kendall, spearman
from naswot_ray.analysis.metrics import GIVEN, Metric, Pair, Variable, metrics_of, pairs_with
from naswot_ray.analysis.scores import Columns, SpaceScores, batches_with_values, mean_over_seeds
from naswot_ray.analysis.tables import ANALYSIS, STABILITY
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import check_whole
from naswot_ray.dataset.label import Label
from naswot_ray.errors import DatasetError
from naswot_ray.grid.grid import Batch

NUM_THREADS = min(4, os.cpu_count() or 1)
"""numpy sorts and sums outside Python's lock; each thread holds some 100 MB for a whole NAS-Bench-101."""


class Repeats(StrEnum):
    """Which accuracy of an architecture that was trained several times."""

    MEAN = "mean"
    MAX = "max"


@dataclass(frozen=True)
class Analysis:
    """What `analyse` found.

    Attributes:
        rows: `tables.ANALYSIS`.
        stability: `tables.STABILITY`.
        repeats: which accuracies were used.
        without: space -> measures that the dataset has columns of and the space's joined rows no value.
    """

    rows: pa.Table
    stability: pa.Table
    repeats: Repeats
    without: Mapping[str, Sequence[str]] = field(default_factory=dict)


def analyse(dataset: Dataset, repeats: Repeats = Repeats.MEAN) -> Analysis:
    """Hold every measure, rank sum and baseline of a joined dataset against accuracy, space by space.

    Args:
        dataset: with joined rows.
        repeats: which accuracy of an architecture that was trained several times.

    Raises:
        DatasetError: there are no joined rows, or not all of a join, or no maximum over repeats where that is asked for.
    """
    check_whole(dataset)
    rows: list[dict[str, Any]] = []
    stability: list[dict[str, Any]] = []
    without: dict[str, Sequence[str]] = {}
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        spaces = [space for (space,) in connection.execute("SELECT DISTINCT space FROM joined ORDER BY 1").fetchall()]
        if not spaces:
            raise DatasetError(
                f"{dataset.storage.root} has no joined rows: run `naswot-ray join {shlex.quote(dataset.storage.root)}` first, "
                "with --accuracies FILE if it holds no accuracies yet"
            )
        for space in spaces:
            scores = SpaceScores(connection, space, dataset.measures)
            without[space] = [name for name in dataset.measures if name not in scores.measures]
            comparison = _Comparison(scores, repeats)
            with ThreadPoolExecutor(NUM_THREADS) as threads:
                for predictor in scores.predictors:
                    columns = scores.values(predictor)
                    rows += comparison.of_predictor(predictor, columns, threads)
                    stability += _stability(space, predictor, columns, threads)
                rows += comparison.of_baselines(threads)
    return Analysis(pa.Table.from_pylist(rows, ANALYSIS), pa.Table.from_pylist(stability, STABILITY), repeats, without)


class _Comparison:
    """The predictors of a space against its accuracies. What several predictors share is computed once.

    Raises:
        DatasetError: accuracies lack the maximum over repeats that is asked for.
    """

    def __init__(self, scores: SpaceScores, repeats: Repeats) -> None:
        self._scores = scores
        self._repeats = repeats
        self._accuracies = scores.accuracies if repeats is Repeats.MEAN else scores.max_accuracies
        for label, accuracies in self._accuracies.items():
            if np.isnan(accuracies).all():
                raise DatasetError(
                    f"the accuracies of {scores.space} on {label.told} hold no maximum over repeats; use --repeats mean"
                )
        self._covered: dict[tuple[str, int], npt.NDArray[np.bool_]] = {}
        self._given: dict[bytes, dict[str, Variable]] = {}
        self._targets: dict[tuple[Label, bytes], tuple[Variable, dict[str, Pair]]] = {}
        self._lock = threading.Lock()

    def of_predictor(self, predictor: str, columns: Columns, threads: ThreadPoolExecutor) -> Iterator[dict[str, Any]]:
        """Rows of `tables.ANALYSIS` of a measure or rank sum: the mean over seeds, then each seed."""
        tasks: list[tuple[FloatArray, Sequence[Batch], int | None]] = []
        for group in self._scores.groups():
            batches = batches_with_values(columns, *group)
            if batches:
                mean = mean_over_seeds(columns, batches)
                self._covered[group] = self._covered.get(group, np.zeros(len(mean), bool)) | ~np.isnan(mean)
                tasks += [(mean, batches, None), *((columns[batch], [batch], batch.seed) for batch in batches)]
        for rows in threads.map(lambda task: self._compare(predictor, *task, partials=True), tasks):
            yield from rows

    def of_baselines(self, threads: ThreadPoolExecutor) -> Iterator[dict[str, Any]]:
        """The same of the baselines, on the architectures that have some measure on every seed that it was computed for."""
        for (images, batch_size), covered in self._groups_covered():
            batches = [b for b in self._scores.batches if (b.images, b.batch_size) == (images, batch_size)]

            def compare(
                item: tuple[str, FloatArray],
                covered: npt.NDArray[np.bool_] = covered,
                batches: Sequence[Batch] = batches,
            ) -> list[dict[str, Any]]:
                return self._compare(item[0], np.where(covered, item[1], np.nan), batches, None, partials=False)

            for rows in threads.map(compare, self._scores.baselines.items()):
                yield from rows

    def _groups_covered(self) -> Iterator[tuple[tuple[str, int], npt.NDArray[np.bool_]]]:
        for group in self._scores.groups():
            batches = [b for b in self._scores.batches if (b.images, b.batch_size) == group]
            yield group, self._covered.get(group, np.zeros_like(self._scores.has_row[batches[0]]))

    def _compare(
        self, predictor: str, values: FloatArray, batches: Sequence[Batch], seed: int | None, *, partials: bool
    ) -> list[dict[str, Any]]:
        there = self._scores.in_all(batches)
        known = there & ~np.isnan(values)
        own: dict[bytes, tuple[Variable, dict[str, Pair]]] = {}
        rows = []
        for label, accuracies in self._accuracies.items():
            trained = ~np.isnan(accuracies)
            used = known & trained
            given, (target, target_given) = self._target(label, accuracies, used)
            mask = np.packbits(used).tobytes()
            if mask not in own:
                variable = Variable(values[used])
                own[mask] = variable, pairs_with(variable, given) if partials else {}
            variable, variable_given = own[mask]
            key = {
                "space": self._scores.space,
                **asdict(label),
                "repeats": str(self._repeats),
                "images": batches[0].images,
                "batch_size": batches[0].batch_size,
                "seed": seed,
                "num_seeds": len(batches),
                "predictor": predictor,
                "num_architectures": int(used.sum()),
                "num_missing": int((there & trained & ~used).sum()),
                "num_singular": int(np.isneginf(variable.values).sum()),
            }
            rows += [key | _columns(one) for one in metrics_of(variable, target, variable_given, target_given)]
        return rows

    def _target(
        self, label: Label, accuracies: FloatArray, used: npt.NDArray[np.bool_]
    ) -> tuple[dict[str, Variable], tuple[Variable, dict[str, Pair]]]:
        """The baselines that are held fixed, and the accuracies with them, of some architectures."""
        mask = np.packbits(used).tobytes()
        with self._lock:
            if mask not in self._given:
                baselines = {name: self._scores.baselines[name][used] for name in GIVEN}
                self._given[mask] = {name: Variable(z) for name, z in baselines.items() if not np.isnan(z).any()}
            given = self._given[mask]
            if (label, mask) not in self._targets:
                target = Variable(accuracies[used])
                self._targets[label, mask] = target, pairs_with(target, given)
            return given, self._targets[label, mask]


def _columns(one: Metric) -> dict[str, Any]:
    low, high = (None if math.isnan(bound) else bound for bound in one.interval)
    return {
        "metric": one.metric,
        "given": one.given,
        "top_percent": one.top_percent,
        "top_k": one.top_k,
        "value": None if math.isnan(one.value) else one.value,
        "low": low,
        "high": high,
        "interval": one.method,
        "num_used": one.num_used,
    }


def _stability(space: str, predictor: str, columns: Columns, threads: ThreadPoolExecutor) -> Iterator[dict[str, Any]]:
    """Rows of `tables.STABILITY`: seeds in pairs; batch sizes, and image sources, in pairs of means over seeds."""
    of_key: dict[_Key, FloatArray] = {(b.images, b.batch_size, b.seed): values for b, values in columns.items()}
    means: list[tuple[str, int, None]] = []
    pairs: list[tuple[str, _Key, _Key]] = []
    for images, batch_size in dict.fromkeys((batch.images, batch.batch_size) for batch in columns):
        batches = batches_with_values(columns, images, batch_size)
        if batches:
            means.append((images, batch_size, None))
            of_key[means[-1]] = mean_over_seeds(columns, batches)
            keys = [(images, batch_size, batch.seed) for batch in batches]
            pairs += [("seed", one, other) for one, other in itertools.combinations(keys, 2)]
    for one, other in itertools.combinations(means, 2):
        if one[0] == other[0]:
            pairs.append(("batch_size", one, other))
        elif one[1] == other[1]:
            pairs.append(("images", one, other))
    for row in threads.map(lambda pair: _compare_pair(of_key, *pair), pairs):
        yield {"space": space, "predictor": predictor} | row


_Key = tuple[str, int, int | None]
"""Images, batch size and seed; None for the mean over seeds."""


def _compare_pair(columns: dict[_Key, FloatArray], compared: str, one: _Key, other: _Key) -> dict[str, Any]:
    both = ~np.isnan(columns[one]) & ~np.isnan(columns[other])
    x, y = Ranked(columns[one][both]), Ranked(columns[other][both])
    tau, rho = kendall(x, y).value, spearman(x, y).value
    return {
        "compared": compared,
        **dict(zip(("images", "batch_size", "seed"), one, strict=True)),
        **dict(zip(("other_images", "other_batch_size", "other_seed"), other, strict=True)),
        "tau": None if math.isnan(tau) else tau,
        "spearman": None if math.isnan(rho) else rho,
        "num_architectures": int(both.sum()),
    }
