"""How far two computations of one score may lie apart."""

from __future__ import annotations

from typing import Final

TOLERANCES: Final = {"float32": 1e-3, "tf32": 2e-2, "bfloat16": 0.2}
"""dtype of the arithmetic -> the largest difference between two engines' scores of one network, by the coarser of their dtypes.

On a GPU deep networks without shortcuts may differ by more: they enlarge rounding (docs/performance.md).
"""
