"""A stored row beside what it should be, and what a random draw of rows is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Recomputed:
    """A row, and what it should be.

    Attributes:
        row: of the scores table.
        engine, dtype: what computed it again.
        score, score_paper, num_units: now; None where it failed.
        disagreement: one line that says what differs; None if nothing does.
    """

    row: Row
    engine: str
    dtype: str
    score: float | None
    score_paper: float | None
    num_units: int | None
    disagreement: str | None

    @property
    def difference(self) -> float:
        """|stored score - recomputed score|; 0 for two of -inf, infinite where one alone is finite."""
        if self.score is None:
            return math.inf
        return difference(self.row["score"], self.score)


def chance_to_find(num_altered: int, num_rows: int, num_drawn: int) -> float:
    """The probability that at least one of `num_altered` rows is among `num_drawn` random ones of `num_rows`."""
    if num_altered > num_rows - num_drawn:
        return 1.0
    log_missed = sum(math.log1p(-num_drawn / (num_rows - i)) for i in range(num_altered))
    return -math.expm1(log_missed)


def difference(stored: float | None, found: float) -> float:
    """|stored - found|; 0 for two of -inf, infinite where one alone is finite or nothing is stored."""
    if stored is None or math.isnan(stored):
        return math.inf
    return 0.0 if stored == found else abs(stored - found)
