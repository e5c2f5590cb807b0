"""Kendall's tau of every measure with trained accuracy, beside that of the baselines, on all architectures that have both.

Computed on the published rows and the dataset's accuracies, so that it does not matter whether, or when, they were joined.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt

from naswot_ray.analysis import intervals
from naswot_ray.analysis.correlation import FloatArray, Ranked, kendall
from naswot_ray.analysis.literature import published as published_figures
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.label import Label, main_labels
from naswot_ray.dataset.schema import BASELINES
from naswot_ray.errors import DatasetError
from naswot_ray.publish.seed_means import Group, SeedMean

BAND_MARGIN: Final = 0.1
"""How far outside the published figures tau is still like them: label, subset, batch size and seeds differ between papers."""

ENOUGH_FOR_TAU: Final = 500
"""Architectures from which tau's standard error is under 0.03."""

REAL_IMAGES: Final = ("cifar10", "cifar100", "imagenet16-120")

_TRAINED: Final = "trained_accuracies"
"""What the dataset's accuracies are called on the connection to the published tables."""


@dataclass(frozen=True)
class Tau:
    """Kendall's tau-b, signed, with its 95% interval over which architectures are in the sample; None where not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class RankAgreement:
    """How far a measure, and the baselines on the same architectures, order them as mean test accuracy does.

    Attributes:
        space, images, batch_size: where the measure was taken.
        measure: its mean over seeds; -inf ranks last.
        num_seeds: seeds at which the measure has any value. An architecture counts if it has one at each of them.
        trained_on, epochs: the training, the longest there is; accuracy is the mean over repeats on the test split.
        num_architectures: all that have the measure and the accuracy.
        tau: of the measure.
        baselines: column -> of the baseline, without a value where it is unknown for one of the architectures.
        published: lowest and highest figure in the literature for this measure; None where there is none to compare with.
        inside: whether tau is within `BAND_MARGIN` of them.
    """

    space: str
    images: str
    batch_size: int
    measure: str
    num_seeds: int
    trained_on: str
    epochs: int
    num_architectures: int
    tau: Tau
    baselines: dict[str, Tau]
    published: tuple[float, float] | None
    inside: bool | None


def rank_agreements(
    dataset: Dataset, connection: duckdb.DuckDBPyConnection, means: Sequence[tuple[Group, dict[str, SeedMean]]]
) -> list[RankAgreement]:
    """Compare measures with accuracies, group by group and label by label.

    Args:
        dataset: holds the accuracies.
        connection: with views of the published tables.
        means: of each group the measures' means over seeds.

    Raises:
        DatasetError: an accuracy is there twice.
    """
    connection.register(_TRAINED, dataset.accuracies)
    trained = {space: _Trained(connection, space) for space in {group.space for group, _ in means}}
    return [
        agreement
        for group, of_measures in means
        for label in trained[group.space].labels
        for measure, mean in of_measures.items()
        if (agreement := _agreement(group, measure, mean, label, trained[group.space])) is not None
    ]


class _Trained:
    """The accuracies and baselines of a space. Arrays have one element per `arch_index`, NaN where there is no value.

    Attributes:
        labels: one for each data set; see `main_labels`.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, space: str) -> None:
        (highest,) = connection.execute("SELECT max(arch_index) FROM scores WHERE space = ?", [space]).fetchall()[0]
        self._size = int(highest) + 1
        found = connection.execute(
            f"SELECT DISTINCT dataset, split, epochs FROM {_TRAINED} WHERE space = ? AND seed IS NULL ORDER BY ALL", [space]
        ).fetchall()
        self.labels = main_labels(Label(*row) for row in found)
        self._accuracies = {label: self._read_accuracies(connection, space, label) for label in self.labels}
        rows = connection.execute(
            f"SELECT arch_index, {', '.join(BASELINES)} FROM architectures WHERE space = ? AND arch_index < ?",
            [space, self._size],
        ).fetchnumpy()
        self._baselines = {name: self._aligned(rows["arch_index"], rows[name]) for name in BASELINES}
        self._known: dict[tuple[Label, bytes], tuple[Ranked, dict[str, Tau]]] = {}

    def has(self, label: Label) -> npt.NDArray[np.bool_]:
        """(m,) which architectures have an accuracy."""
        return ~np.isnan(self._accuracies[label])

    def ground(self, label: Label, used: npt.NDArray[np.bool_]) -> tuple[Ranked, dict[str, Tau]]:
        """The accuracies of some architectures as ranks, and the taus of the baselines. Measures mostly share them."""
        key = label, np.packbits(used).tobytes()
        if key not in self._known:
            accuracies = Ranked(self._accuracies[label][used])
            self._known[key] = accuracies, {name: _tau(of[used], accuracies) for name, of in self._baselines.items()}
        return self._known[key]

    def _read_accuracies(self, connection: duckdb.DuckDBPyConnection, space: str, label: Label) -> FloatArray:
        rows = connection.execute(
            f"""
            SELECT arch_index, accuracy
            FROM {_TRAINED} JOIN (SELECT DISTINCT arch_id, arch_index FROM scores WHERE space = $1) USING (arch_id)
            WHERE space = $1 AND seed IS NULL AND dataset = $2 AND split = $3 AND epochs = $4
            """,
            [space, label.dataset, label.split, label.epochs],
        ).fetchnumpy()
        if len(np.unique(rows["arch_index"])) != len(rows["arch_index"]):
            raise DatasetError(
                f"an architecture of {space} has two accuracies on {label.told}: "
                "`naswot-ray check` names the file that is a copy"
            )
        return self._aligned(rows["arch_index"], rows["accuracy"])

    def _aligned(self, index: Any, column: Any) -> FloatArray:
        values = np.full(self._size, np.nan)
        values[index] = np.ma.filled(np.ma.asarray(column, np.float64), np.nan)
        return values


def _agreement(group: Group, measure: str, mean: SeedMean, label: Label, trained: _Trained) -> RankAgreement | None:
    used = ~np.isnan(mean.values) & trained.has(label)
    number = int(used.sum())
    if not number:
        return None
    accuracies, baselines = trained.ground(label, used)
    tau = _tau(mean.values[used], accuracies)
    figures = [figure.value for figure in published_figures(group.space, label.dataset, measure, "tau")]
    comparable = figures and group.images in REAL_IMAGES and number >= ENOUGH_FOR_TAU
    published = (min(figures), max(figures)) if comparable else None
    inside = None
    if published is not None and tau.value is not None:
        inside = published[0] - BAND_MARGIN <= tau.value <= published[1] + BAND_MARGIN
    return RankAgreement(
        *group,
        measure=measure,
        num_seeds=mean.num_seeds,
        trained_on=label.dataset,
        epochs=label.epochs,
        num_architectures=number,
        tau=tau,
        baselines=baselines,
        published=published,
        inside=inside,
    )


def _tau(values: FloatArray, accuracies: Ranked) -> Tau:
    """With the same intervals as `analyse` gives."""
    if np.isnan(values).any():
        return Tau(None)
    ranked = Ranked(values)
    found = kendall(ranked, accuracies)
    if 1 < len(values) <= intervals.MAX_BOOTSTRAP:
        interval = intervals.percentile(intervals.Resampled(ranked).kendall(intervals.Resampled(accuracies)))
    else:
        interval = intervals.jackknife(found)
    return Tau(*_finite([found.value, *interval]))


def _finite(values: Iterable[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
