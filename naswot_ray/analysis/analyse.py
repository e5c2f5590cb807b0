"""From joined rows to a table of all measures of all predictors, and of how far scores depend on seed, batch and images."""

from __future__ import annotations

import itertools
import math
import os
import shlex
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from naswot_ray.analysis.correlation import FloatArray, Ranked, kendall, spearman
from naswot_ray.analysis.scores import SCORES, Point, SpaceScores
from naswot_ray.analysis.statistics import Ground, Measured
from naswot_ray.analysis.tables import ANALYSIS, STABILITY
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import check_whole
from naswot_ray.dataset.label import Label
from naswot_ray.errors import DatasetError

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
        repeats: the label.
    """

    rows: pa.Table
    stability: pa.Table
    repeats: Repeats


def analyse(dataset: Dataset, repeats: Repeats = Repeats.MEAN) -> Analysis:
    """Measure every predictor in a joined dataset, space by space.

    Args:
        dataset: with joined rows.
        repeats: the label, over the repeats of a training.

    Raises:
        DatasetError: there are no joined rows, or not all of a join, or no maximum over repeats where that is asked for.
    """
    check_whole(dataset)
    rows: list[dict[str, Any]] = []
    stability: list[dict[str, Any]] = []
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        spaces = [space for (space,) in connection.execute("SELECT DISTINCT space FROM joined ORDER BY 1").fetchall()]
        if not spaces:
            raise DatasetError(
                f"{dataset.storage.root} has no joined rows: run `naswot-ray join {shlex.quote(dataset.storage.root)}` first, "
                "with --accuracies FILE if it holds no accuracies yet"
            )
        for space in spaces:
            scores = SpaceScores(connection, space)
            rows += _measure(scores, repeats)
            stability += _compare(scores)
    return Analysis(pa.Table.from_pylist(rows, ANALYSIS), pa.Table.from_pylist(stability, STABILITY), repeats)


def _measure(scores: SpaceScores, repeats: Repeats) -> Iterator[dict[str, Any]]:
    """Rows of `tables.ANALYSIS`, in order."""
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        for label in scores.labels:
            accuracies = (scores.accuracies if repeats is Repeats.MEAN else scores.max_accuracies)[label]
            if np.isnan(accuracies).all():
                raise DatasetError(
                    f"the accuracies of {scores.space} on {label.told} hold no maximum over repeats; use --label mean"
                )
            group = _Group(scores, label, accuracies, repeats)
            tasks = [(*key, seed) for key in scores.groups() for seed in (None, *scores.seeds_of(*key))]
            for rows in threads.map(lambda task, group=group: group.measure(*task), tasks):
                yield from rows


class _Group:
    """What is measured against one label."""

    def __init__(self, scores: SpaceScores, label: Label, accuracies: FloatArray, repeats: Repeats) -> None:
        self._scores = scores
        self._accuracies = accuracies
        self._key = {"space": scores.space, **asdict(label), "label": f"{repeats} over repeats"}
        self._grounds: dict[bytes, Ground] = {}
        self._of_baselines: dict[bytes, list[tuple[str, Measured]]] = {}
        self._lock = threading.Lock()

    def measure(self, images: str, batch_size: int, seed: int | None) -> list[dict[str, Any]]:
        """Rows of one seed; or, with None, of the mean over seeds, and of the baselines on the same architectures."""
        seeds = self._scores.seeds_of(images, batch_size) if seed is None else [seed]
        points = [Point(images, batch_size, s) for s in seeds]
        predictors = {name: self._scores.mean_over_seeds(points, name) for name in SCORES}
        trained = self._scores.in_all(points) & ~np.isnan(self._accuracies)
        used = trained & ~np.isnan(predictors["score"])
        ground, of_baselines = self._ground(used, with_baselines=seed is None)
        key = self._key | {"images": images, "batch_size": batch_size, "seed": seed, "num_seeds": len(seeds)}
        key |= {"num_architectures": int(used.sum()), "num_failed": int((trained & ~used).sum())}
        rows = []
        for name, values in predictors.items():
            num_singular = int(np.isneginf(values[used]).sum())
            own = key | {"predictor": name, "num_singular": num_singular}
            rows += [own | _columns(measured) for measured in ground.measure(values[used], partials=name == "score")]
        rows += [key | {"predictor": name, "num_singular": 0} | _columns(measured) for name, measured in of_baselines]
        return rows

    def _ground(self, used: npt.NDArray[np.bool_], *, with_baselines: bool) -> tuple[Ground, list[tuple[str, Measured]]]:
        """What is the same for all scores of the same architectures is made once."""
        key = np.packbits(used).tobytes()
        with self._lock:
            if key not in self._grounds:
                baselines = {name: values[used] for name, values in self._scores.baselines.items()}
                self._grounds[key] = Ground(self._accuracies[used], baselines)
            ground = self._grounds[key]
            if with_baselines and key not in self._of_baselines:
                self._of_baselines[key] = [
                    (name, measured)
                    for name, values in ground.baselines.items()
                    for measured in ground.measure(values, partials=False)
                ]
        return ground, self._of_baselines[key] if with_baselines else []


def _columns(measured: Measured) -> dict[str, Any]:
    low, high = (None if math.isnan(bound) else bound for bound in measured.interval)
    return {
        "measure": measured.measure,
        "given": measured.given,
        "top_percent": measured.top_percent,
        "top_k": measured.top_k,
        "value": None if math.isnan(measured.value) else measured.value,
        "low": low,
        "high": high,
        "interval": measured.method,
        "num_used": measured.num_used,
    }


def _compare(scores: SpaceScores) -> Iterator[dict[str, Any]]:
    """Rows of `tables.STABILITY`: seeds in pairs; batch sizes, and image sources, in pairs of means over seeds."""
    columns: dict[_Column, FloatArray] = {point: scores.scores[point]["score"] for point in scores.points}
    pairs: list[tuple[str, _Column, _Column]] = []
    for group in scores.groups():
        seeds = scores.seeds_of(*group)
        columns[*group, None] = scores.mean_over_seeds([Point(*group, seed) for seed in seeds], "score")
        pairs += [("seed", (*group, one), (*group, other)) for one, other in itertools.combinations(seeds, 2)]
    for one, other in itertools.combinations(scores.groups(), 2):
        if one[0] == other[0]:
            pairs.append(("batch_size", (*one, None), (*other, None)))
        elif one[1] == other[1]:
            pairs.append(("images", (*one, None), (*other, None)))
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        yield from threads.map(lambda pair: {"space": scores.space} | _compare_pair(columns, *pair), pairs)


_Column = tuple[str, int, int | None]


def _compare_pair(columns: dict[_Column, FloatArray], compared: str, one: _Column, other: _Column) -> dict[str, Any]:
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
