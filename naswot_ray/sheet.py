"""Texts in CSV: programs for spreadsheets take a cell such as `=cmd|...` for a formula and run it.

The usual guard is an apostrophe in front, which such a program takes for "this is text". Numbers stay as they are, also where
a text holds one.
"""

from __future__ import annotations

import re
from typing import Final

FORMULA: Final = r"^[=+\-@\t\r\n]"
NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+|inf|infinity|nan)(e[+-]?\d+)?$"
"""In either case. Both patterns mean the same to Python and to DuckDB."""


def guarded(text: str) -> str:
    """A text as a cell of CSV."""
    is_formula = re.search(FORMULA, text) is not None and re.search(NUMBER, text, re.IGNORECASE | re.ASCII) is None
    return f"'{text}" if is_formula else text
