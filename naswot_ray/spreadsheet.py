"""Protection of CSV files against formulas: a spreadsheet program would run a cell such as `=cmd|...`.

The usual protection is an apostrophe before such a text, which tells the program that the cell holds text. Numbers stay as they
are, including those that a text holds.
"""

from __future__ import annotations

import re
from typing import Final

FORMULA: Final = r"^[=+\-@\t\r\n]"
NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+|inf|infinity|nan)(e[+-]?\d+)?$"
"""A number, in lower or upper case. Both patterns mean the same in Python and in DuckDB."""


def guarded(text: str) -> str:
    """Protect a text that becomes a cell of a CSV file."""
    is_formula = re.search(FORMULA, text) is not None and re.search(NUMBER, text, re.IGNORECASE | re.ASCII) is None
    return f"'{text}" if is_formula else text
