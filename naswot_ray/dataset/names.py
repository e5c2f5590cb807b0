"""Names that a dataset carries and that its readers use in file names, tables and pages: of spaces, image sources, data sets,
splits and runs.

A dataset may come from anywhere, so its names are checked where they are read, before one of them becomes a path or a line of
text: `Name` and `RunId` are the types of such fields in `dataset.json` and in the records of runs.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

LONGEST_NAME: Final = 80
"""Two names and the rest of a part's file name stay below the 255 bytes that file systems allow."""

RUN_ID: Final = r"[0-9A-Za-z][0-9A-Za-z_-]*"
"""What stands before the first dot in the names of a run's files, so it has none itself."""

_NAME: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]*")
_RUN_ID: Final = re.compile(RUN_ID)


def is_name(text: str) -> bool:
    """Whether a text is a name: ASCII letters, digits and `.` `_` `+` `-`, a letter or digit first, at most 80 of them."""
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None


def refusal(text: str) -> str:
    """What a message says of a text that is no name."""
    return (
        f"{text[: LONGEST_NAME + 1]!r} is no name: expected at most {LONGEST_NAME} letters, digits and . _ + -, "
        "and a letter or digit first"
    )


def _checked(text: str) -> str:
    if not is_name(text):
        raise ValueError(refusal(text))
    return text


def _checked_run_id(text: str) -> str:
    if len(text) > LONGEST_NAME or _RUN_ID.fullmatch(text) is None:
        raise ValueError(
            f"{text[: LONGEST_NAME + 1]!r} is no id of a run: expected at most {LONGEST_NAME} letters, digits, _ and -, and a "
            "letter or digit first"
        )
    return text


Name = Annotated[str, AfterValidator(_checked)]
RunId = Annotated[str, AfterValidator(_checked_run_id)]
