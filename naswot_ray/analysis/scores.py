"""The joined rows of a space as arrays: one column for each measure at each batch, one of accuracies for each label."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, astuple

import duckdb
import numpy as np
import numpy.typing as npt

from naswot_ray.analysis.correlation import FloatArray
from naswot_ray.analysis.rank_sums import RANK_SUMS, RankSum, rank_sum
from naswot_ray.dataset.label import LABEL_COLUMNS, Label, main_labels
from naswot_ray.dataset.schema import BASELINES
from naswot_ray.dataset.sql import quoted
from naswot_ray.grid.grid import Batch

Columns = Mapping[Batch, FloatArray]
"""The values of one predictor on every batch."""


class SpaceScores:
    """All joined rows of a space. Arrays have one element for each `arch_index`, NaN where there is no value.

    Args:
        connection: to the dataset.
        space: which.
        measures: those that the dataset has columns of.
        only_main: read only the `main_labels`.

    Attributes:
        batches: what there are joined rows of, sorted.
        labels: sorted.
        measures: those that have a value in some joined row of the space, in the order given.
        rank_sums: those whose measures are all among these.
        has_row: batch -> (m,) bool, whether there is a joined row; it may have no value.
        accuracies: label -> (m,) float64, percent, mean over repeats.
        max_accuracies: label -> (m,) float64, percent, of the best repeat.
        baselines: name -> (m,) float64.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, space: str, measures: Sequence[str], *, only_main: bool = False
    ) -> None:
        self._connection = connection
        self.space = space
        self.batches = [Batch(*row) for row in self._select("DISTINCT images, batch_size, seed", "ORDER BY ALL").fetchall()]
        names = ", ".join(LABEL_COLUMNS)
        labels = [Label(*row) for row in self._select(f"DISTINCT {names}", "ORDER BY ALL").fetchall()]
        self.labels = main_labels(labels) if only_main else labels
        counted = ", ".join(["max(arch_index)", *(f"count({quoted(name)})" for name in measures)])
        highest, *counts = self._select(counted).fetchall()[0]
        self.measures = tuple(name for name, count in zip(measures, counts, strict=True) if count)
        self.rank_sums = rank_sums_of(self.measures)
        self._size = 1 + (-1 if highest is None else int(highest))
        self.has_row = {batch: np.zeros(self._size, bool) for batch in self.batches}
        self.accuracies = {label: self._empty() for label in self.labels}
        self.max_accuracies = {label: self._empty() for label in self.labels}
        self.baselines = {name: self._empty() for name in BASELINES}
        for batch in self.batches:
            for label in self.labels:
                targets = {"accuracy": self.accuracies[label], "max_accuracy": self.max_accuracies[label], **self.baselines}
                self.has_row[batch][self._fill(batch, label, targets)] = True

    @property
    def predictors(self) -> tuple[str, ...]:
        """The measures, then the rank sums."""
        return (*self.measures, *self.rank_sums)

    def values(self, predictor: str) -> Columns:
        """A predictor on every batch. Read from the dataset at each call: a whole space has many, and one fits into memory.

        Args:
            predictor: one of `predictors`. A rank sum ranks, on each batch, the architectures with joined rows that have all
                its parts.
        """
        if predictor in self.measures:
            columns = {batch: self._empty() for batch in self.batches}
            for batch in self.batches:
                for label in self.labels:
                    self._fill(batch, label, {predictor: columns[batch]})
            return columns
        of_measures = {part: self.values(part) for part in self.rank_sums[predictor].parts if part in self.measures}
        return {
            batch: rank_sum(predictor, self.baselines | {part: columns[batch] for part, columns in of_measures.items()})
            for batch in self.batches
        }

    def groups(self) -> list[tuple[str, int]]:
        """The (images, batch size) there are, sorted."""
        return sorted({(batch.images, batch.batch_size) for batch in self.batches})

    def in_all(self, batches: Sequence[Batch]) -> npt.NDArray[np.bool_]:
        """(m,) whether an architecture has a row, if one without a value, on every one of these batches."""
        found: npt.NDArray[np.bool_] = np.logical_and.reduce([self.has_row[batch] for batch in batches])
        return found

    def _select(self, columns: str, rest: str = "", parameters: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(f"SELECT {columns} FROM joined WHERE space = ? {rest}", [self.space, *parameters])

    def _fill(self, batch: Batch, label: Label, targets: Mapping[str, FloatArray]) -> npt.NDArray[np.int32]:
        """Read some columns of the rows of a batch and label into arrays. Returns the rows' `arch_index`."""
        keys = [*asdict(batch), *LABEL_COLUMNS]
        where = "".join(f" AND {name} = ?" for name in keys)
        columns = ", ".join(["arch_index", *map(quoted, targets)])
        found = self._select(columns, where, [*astuple(batch), *astuple(label)]).fetchnumpy()
        index: npt.NDArray[np.int32] = np.asarray(found["arch_index"])
        for name, target in targets.items():
            target[index] = np.ma.filled(np.ma.asarray(found[name], np.float64), np.nan)
        return index

    def _empty(self) -> FloatArray:
        return np.full(self._size, np.nan)


def rank_sums_of(measures: Collection[str]) -> dict[str, RankSum]:
    """The rank sums that can be made of some measures and the baselines. A measure called like one stands for itself."""
    there = {*measures, *BASELINES}
    return {name: one for name, one in RANK_SUMS.items() if there.issuperset(one.parts) and name not in measures}


def batches_with_values(columns: Columns, images: str, batch_size: int) -> list[Batch]:
    """The batches of an image source and batch size on which a predictor has a value, by seed."""
    of_group = [batch for batch in columns if (batch.images, batch.batch_size) == (images, batch_size)]
    return [batch for batch in of_group if not np.isnan(columns[batch]).all()]


def mean_over_seeds(columns: Columns, batches: Sequence[Batch]) -> FloatArray:
    """(m,) the mean of a predictor over batches; -inf if it is -inf on one of them, NaN if there is no value on one of them.

    Only architectures with a value everywhere count: a minibatch shifts the values of all networks alike, so that means over
    different seeds do not compare.
    """
    total = columns[batches[0]].copy()
    for batch in batches[1:]:
        total += columns[batch]
    return total / len(batches)
