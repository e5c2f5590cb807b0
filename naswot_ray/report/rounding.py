"""Rounds numbers for the page: to no more digits than matter, and to what JSON can express."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

MOST_DIGITS: Final = 12
"""The most decimals to which numbers are rounded. If more are needed, numbers are not rounded."""

Number = int | float | str | None
"""None stands for no value, "-inf" for the score of a singular kernel."""


def rounded(value: float, digits: int) -> Number:
    """Round one number; a whole number becomes an integer."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    short = round(float(value), digits)
    return int(short) if short.is_integer() else short


def rounded_apart(values: npt.NDArray[np.float64], digits: int) -> list[Number]:
    """Round many numbers, but keep enough digits for two things.

    Different numbers stay different, and each number still looks the same when it is shown with `digits` digits. The page
    therefore sorts, ties and shows the rounded numbers as it would the exact ones.
    """
    finite = np.unique(values[np.isfinite(values)])
    shown = [f"{value:.{digits}f}" for value in finite]
    for enough in range(digits, MOST_DIGITS + 1):
        short = np.round(finite, enough)
        if len(np.unique(short)) == len(finite) and [f"{value:.{digits}f}" for value in short] == shown:
            return [rounded(value, enough) for value in np.round(values, enough)]
    return [float(value) if math.isfinite(value) else rounded(value, digits) for value in values]
