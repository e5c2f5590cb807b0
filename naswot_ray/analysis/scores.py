"""The joined rows of a space as arrays: one column of scores per point of the grid, one of accuracies per label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt

from naswot_ray.analysis.correlation import FloatArray
from naswot_ray.dataset.label import Label, main_labels

BASELINES = ("params", "flops", "num_layers")
SCORES = ("score", "score_paper")


class Point(NamedTuple):
    """Where scores come from."""

    images: str
    batch_size: int
    seed: int


class SpaceScores:
    """All joined rows of a space. Arrays have one element per `arch_index`, NaN where there is no value.

    Args:
        connection: to the dataset.
        space: which.
        only_main: only the `main_labels`.

    Attributes:
        points: of the grid, sorted.
        labels: sorted.
        scores: point -> predictor of `SCORES` -> (m,) float64.
        has_row: point -> (m,) bool, whether there is a joined row; without a score it has failed.
        accuracies: label -> (m,) float64, percent, mean over repeats.
        max_accuracies: label -> (m,) float64, percent, of the best repeat.
        baselines: predictor of `BASELINES` -> (m,) float64.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, space: str, *, only_main: bool = False) -> None:
        def select(columns: str, rest: str = "", parameters: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
            return connection.execute(f"SELECT {columns} FROM joined WHERE space = ? {rest}", [space, *parameters])

        self.space = space
        self.points = [Point(*row) for row in select("DISTINCT images, batch_size, seed", "ORDER BY ALL").fetchall()]
        labels = [Label(*row) for row in select("DISTINCT dataset, split, epochs", "ORDER BY ALL").fetchall()]
        self.labels = main_labels(labels) if only_main else labels
        (highest,) = select("max(arch_index)").fetchall()[0]
        self._size = 1 + (-1 if highest is None else int(highest))
        self.scores = {point: {name: self._empty() for name in SCORES} for point in self.points}
        self.has_row = {point: np.zeros(self._size, bool) for point in self.points}
        self.accuracies = {label: self._empty() for label in self.labels}
        self.max_accuracies = {label: self._empty() for label in self.labels}
        self.baselines = {name: self._empty() for name in BASELINES}
        for point in self.points:
            for label in self.labels:
                columns = select(_COLUMNS, _AT, [*point, *astuple(label)]).fetchnumpy()
                index = columns["arch_index"]
                self.has_row[point][index] = True
                targets = {"accuracy": self.accuracies[label], "max_accuracy": self.max_accuracies[label]}
                for name, target in (targets | self.scores[point] | self.baselines).items():
                    target[index] = np.ma.filled(np.ma.asarray(columns[name], np.float64), np.nan)

    def _empty(self) -> FloatArray:
        return np.full(self._size, np.nan)

    def seeds_of(self, images: str, batch_size: int) -> list[int]:
        """The seeds of an image source and batch size, sorted."""
        return [point.seed for point in self.points if point[:2] == (images, batch_size)]

    def groups(self) -> list[tuple[str, int]]:
        """The (images, batch size) there are, sorted."""
        return sorted({point[:2] for point in self.points})

    def mean_over_seeds(self, points: Sequence[Point], predictor: str) -> FloatArray:
        """(m,) the mean over points; -inf if it is -inf at one of them, NaN if there is no score at one of them.

        Only architectures that have a score everywhere: a minibatch shifts the scores of all networks alike, so that means over
        different seeds do not compare.
        """
        total = self.scores[points[0]][predictor].copy()
        for point in points[1:]:
            total += self.scores[point][predictor]
        return total / len(points)

    def in_all(self, points: Sequence[Point]) -> npt.NDArray[np.bool_]:
        """(m,) whether an architecture has a row, if a failed one, at every one of these points."""
        found: npt.NDArray[np.bool_] = np.logical_and.reduce([self.has_row[point] for point in points])
        return found


_COLUMNS = "arch_index, score, score_paper, accuracy, max_accuracy, params, flops, num_layers"
_AT = "AND images = ? AND batch_size = ? AND seed = ? AND dataset = ? AND split = ? AND epochs = ?"
