"""Numbers as the page holds them: no more digits than matter, and nothing that JSON cannot say."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

MOST_DIGITS: Final = 12
"""Decimals up to which numbers are rounded; where more are needed they stay as they are."""

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


def rounded_apart(values: npt.NDArray[np.float64], digits: int) -> list[Number]:
    """Many numbers, with as many more digits as keep different ones different, and each the same when rounded to `digits`.

    So what is sorted, tied or shown of the rounded numbers is what would be of the exact ones.
    """
    finite = np.unique(values[np.isfinite(values)])
    shown = [f"{value:.{digits}f}" for value in finite]
    for enough in range(digits, MOST_DIGITS + 1):
        short = np.round(finite, enough)
        if len(np.unique(short)) == len(finite) and [f"{value:.{digits}f}" for value in short] == shown:
            return [rounded(value, enough) for value in np.round(values, enough)]
    return [float(value) if math.isfinite(value) else rounded(value, digits) for value in values]
