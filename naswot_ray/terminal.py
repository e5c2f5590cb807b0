"""Safe output to a terminal. Everything that the package prints goes through this module.

Names, paths, arch_ids and messages of other programs come from files and may contain anything. A control character could clear
the screen, set its title or hide a part of a line. A bidirectional character could show a line in another order. This module
prints such characters as Python's escapes, such as `\\x1b`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from naswot_ray.paths import hide_credentials

_HIDDEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""All control characters except tab and line feed, the characters that change the direction of text, and lone surrogates."""


def printable(text: str) -> str:
    """Replace the characters that a terminal would act on by their escapes."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_line(text: str) -> str:
    """As `printable`, with line feeds escaped too, so that the text stays on one line."""
    return printable(text).replace("\n", "\\n")


def complain(text: str) -> None:
    """Print one line on the standard error: an error, a warning or a notice. It need not be a terminal."""
    print(printable_line(hide_credentials(text)), file=sys.stderr, flush=True)


class Terminal(Console):
    """A rich console that prints `printable` text as it is, without markup or automatic colours.

    Args:
        stderr: whether to write to the standard error instead of the standard output.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Split what is to be printed into segments. All output passes through here, including tables and progress bars."""
        for segment in super().render(renderable, options):
            if segment.control or not _HIDDEN.search(segment.text):
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)
