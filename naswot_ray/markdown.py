"""Markdown made from texts of a dataset. Each text is escaped, so a reader sees its characters and nothing else."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Final

from naswot_ray.terminal import printable

_SPECIAL: Final = re.compile(r"[\\`*|$]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])")
"""Characters with a meaning in Markdown. An underscore has none between letters or digits, as in `nor_conv_3x3`."""


def escape(text: str) -> str:
    """Escape a text for a sentence or a table cell: one line without HTML, links, code or emphasis."""
    shown = html.escape(" ".join(printable(text).split("\n")), quote=False)
    return _SPECIAL.sub(r"\\\g<0>", shown)


def code(text: str) -> str:
    """Format a text as inline code for a sentence or a table cell. Backticks would end the code, so they become apostrophes."""
    shown = " ".join(printable(text).split("\n")).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`"


def block(lines: Sequence[str], language: str) -> str:
    """Format lines as a fenced code block. The fence is longer than any run of backticks in them, so no line can end it."""
    text = printable("\n".join(lines))
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Format the lines of a table. The cells must already be Markdown."""
    return [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *(f"| {' | '.join(row)} |" for row in rows)]
