"""Texts from a dataset in Markdown: shown letter by letter, whatever is in them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Final

from naswot_ray.terminal import printable

_SPECIAL: Final = re.compile(r"[\\`*|$]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])")
"""What means something in a sentence. An underscore does so but between letters and digits, as in `nor_conv_3x3`."""


def escape(text: str) -> str:
    """A text in a sentence or a table's cell: no HTML, no link, no code, no emphasis, and on one line."""
    shown = html.escape(" ".join(printable(text).split("\n")), quote=False)
    return _SPECIAL.sub(r"\\\g<0>", shown)


def code(text: str) -> str:
    """A text as code in a sentence or a table's cell. Backticks, which would end it, become apostrophes."""
    shown = " ".join(printable(text).split("\n")).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`"


def block(lines: Sequence[str], language: str) -> str:
    """Lines as a block of code, which none of them can end."""
    text = printable("\n".join(lines))
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table. Cells are Markdown already."""
    return [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *(f"| {' | '.join(row)} |" for row in rows)]
