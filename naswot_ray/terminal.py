"""The terminal: the one way for text to get there.

Names, paths, arch_ids and messages of other programs come from files and may hold anything. On a terminal a control character
in them could clear the screen, set its title or hide a part of a line, and a bidirectional one could show a line in another
order. Here they are shown as the escapes that Python writes, such as `\\x1b`.
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
"""All control characters but tab and line feed, those that change the direction of text, and halves of characters."""


def printable(text: str) -> str:
    """A text without characters that would do something to a terminal, which are shown as escapes instead."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_line(text: str) -> str:
    """The same on one line."""
    return printable(text).replace("\n", "\\n")


def complain(text: str) -> None:
    """Print one line on the standard error, also where that is no terminal: an error, or what a user should know of."""
    print(printable_line(hide_credentials(text)), file=sys.stderr, flush=True)


class Terminal(Console):
    """A console of rich that shows text as it is: no markup, no colours of its own, and `printable`.

    Args:
        stderr: whether it is the standard error rather than the standard output.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is about to be printed, in pieces; everything comes through here, tables and progress bars too."""
        for segment in super().render(renderable, options):
            if segment.control or not _HIDDEN.search(segment.text):
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)
