"""The mean of each measure over the seeds of a group of score rows, and how far two seeds agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import duckdb
import numpy as np

from naswot_ray.analysis.correlation import FloatArray, pearson
from naswot_ray.dataset.sql import quoted


class Group(NamedTuple):
    """The score rows of a space on one image source at one batch size, at all seeds."""

    space: str
    images: str
    batch_size: int


@dataclass(frozen=True)
class SeedMean:
    """A measure in a group.

    Attributes:
        num_seeds: seeds at which any row has a value of it.
        values: (m,) the mean over these seeds, by `arch_index`. NaN where the measure has no value at one of them: a minibatch
            shifts the values of all networks alike, so means over different seeds do not compare.
        correlation: Pearson's, of the finite values at the two lowest of these seeds; None for one seed, or constant values.
    """

    num_seeds: int
    values: FloatArray
    correlation: float | None


def seed_means(connection: duckdb.DuckDBPyConnection, group: Group, measures: Sequence[str]) -> dict[str, SeedMean]:
    """The measures that have a value in a group.

    Args:
        connection: has `scores`.
        group: which rows.
        measures: columns of the scores.
    """
    where = "WHERE space = ? AND images = ? AND batch_size = ?"
    (highest,) = connection.execute("SELECT max(arch_index) FROM scores WHERE space = ?", [group.space]).fetchall()[0]
    seeds = connection.execute(f"SELECT DISTINCT seed FROM scores {where} ORDER BY 1", list(group)).fetchall()
    columns = ", ".join(["arch_index", *map(quoted, measures)])
    found: dict[str, _Seeds] = {}
    for (seed,) in seeds:  # in this order, so that a mean is the same every time
        rows = connection.execute(f"SELECT {columns} FROM scores {where} AND seed = ?", [*group, seed]).fetchnumpy()
        for measure in measures:
            values = np.full(int(highest) + 1, np.nan)
            values[rows["arch_index"]] = np.ma.filled(np.ma.asarray(rows[measure], np.float64), np.nan)
            if not np.isnan(values).all():
                found.setdefault(measure, _Seeds()).add(values)
    return {measure: found[measure].mean() for measure in measures if measure in found}


class _Seeds:
    """One measure, seed by seed, of which the first two are kept."""

    def __init__(self) -> None:
        self._total: FloatArray | None = None
        self._first: list[FloatArray] = []
        self._num_seeds = 0

    def add(self, values: FloatArray) -> None:
        with np.errstate(invalid="ignore"):  # of values that are inf and -inf there is no mean
            self._total = values if self._total is None else self._total + values
        self._num_seeds += 1
        if len(self._first) < 2:
            self._first.append(values)

    def mean(self) -> SeedMean:
        assert self._total is not None
        return SeedMean(self._num_seeds, self._total / self._num_seeds, self._correlation())

    def _correlation(self) -> float | None:
        if len(self._first) < 2:
            return None
        one, other = self._first
        both = np.isfinite(one) & np.isfinite(other)
        value = pearson(one[both], other[both]).value
        return None if math.isnan(value) else value
