"""A stored row beside what it should be, and what a random draw of rows is worth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StoredRow:
    """A row of the scores table.

    Attributes:
        columns: its key and what tells how it was computed, by the names of the columns.
        values: measure -> value, of the measures that the row has a value of.
        versions: measure -> version, of all measures that the row's part holds.
    """

    columns: Mapping[str, Any]
    values: Mapping[str, float]
    versions: Mapping[str, int]


@dataclass(frozen=True)
class Comparison:
    """A stored value of a measure beside the one that was computed again.

    Attributes:
        measure: its name.
        stored, found: the two values; -inf where a kernel is singular.
        bound: the largest difference that the tolerance allows.
        same_engine: whether the engine and dtype that computed the stored value have computed the other one too.
    """

    measure: str
    stored: float
    found: float
    bound: float
    same_engine: bool

    @property
    def difference(self) -> float:
        """|stored - found|; 0 for two of -inf, infinite where one alone is finite or the stored one is not a number."""
        if math.isnan(self.stored):
            return math.inf
        return 0.0 if self.stored == self.found else abs(self.stored - self.found)

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.difference <= self.bound


@dataclass(frozen=True)
class Recomputed:
    """A row, and what it should be.

    Attributes:
        row: as it is stored.
        engine, dtype: what computed it again.
        comparisons: of the measures that could be compared; none where the network itself is another one.
        left_out: measure -> why a value of the row was not compared.
        problem: what disagrees besides the values, one line; None if nothing does.
    """

    row: StoredRow
    engine: str
    dtype: str
    comparisons: tuple[Comparison, ...]
    left_out: Mapping[str, str]
    problem: str | None = None

    @property
    def disagreement(self) -> str | None:
        """One line that says what differs; None if nothing does."""
        wrong = [f"{one.measure} {one.stored}, recomputed {one.found}" for one in self.comparisons if not one.agrees]
        return "; ".join([*([self.problem] if self.problem else []), *wrong]) or None


@dataclass(frozen=True)
class Agreement:
    """How the values of one measure compare.

    Attributes:
        measure: its name.
        num_compared: how many values were computed again.
        num_agreeing: how many of these are within the tolerance.
        num_same_engine: how many were computed again by the engine and dtype that computed them before.
        num_identical: how many of those are the same bit for bit.
        largest: the largest difference among the values that agree; 0 where none does.
    """

    measure: str
    num_compared: int
    num_agreeing: int
    num_same_engine: int
    num_identical: int
    largest: float


def agreements(recomputed: Iterable[Recomputed]) -> list[Agreement]:
    """How each measure compares over all rows, in the order in which measures occur."""
    by_measure: dict[str, list[Comparison]] = {}
    for row in recomputed:
        for one in row.comparisons:
            by_measure.setdefault(one.measure, []).append(one)
    return [
        Agreement(
            measure,
            num_compared=len(found),
            num_agreeing=sum(one.agrees for one in found),
            num_same_engine=sum(one.same_engine for one in found),
            num_identical=sum(one.same_engine and one.difference == 0 for one in found),
            largest=max((one.difference for one in found if one.agrees), default=0.0),
        )
        for measure, found in by_measure.items()
    ]


def chance_to_find(num_altered: int, num_rows: int, num_drawn: int) -> float:
    """The probability that at least one of `num_altered` rows is among `num_drawn` random ones of `num_rows`."""
    if num_altered > num_rows - num_drawn:
        return 1.0
    log_missed = sum(math.log1p(-num_drawn / (num_rows - i)) for i in range(num_altered))
    return -math.expm1(log_missed)
