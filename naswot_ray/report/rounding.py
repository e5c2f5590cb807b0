"""Numbers as the page holds them: no more digits than matter, and nothing that JSON cannot say."""

from __future__ import annotations

import math
from collections.abc import Iterable

Number = int | float | str | None
"""None where there is no value, "-inf" for the score of a singular kernel."""


def rounded(value: float, digits: int) -> Number:
    """One number; whole ones as integers."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    short = round(float(value), digits)
    return int(short) if short.is_integer() else short


def rounded_all(values: Iterable[float], digits: int) -> list[Number]:
    """Many numbers."""
    return [rounded(value, digits) for value in values]
