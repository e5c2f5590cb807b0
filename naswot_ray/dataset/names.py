"""Names of spaces, image sources, data sets, splits and runs, which become parts of file names, tables and pages.

A dataset may come from anywhere. So its names are checked when they are read, before one of them becomes a path or a line of
text. `Name` and `RunId` are the types of such fields in `dataset.json` and in the records of runs.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

LONGEST_NAME: Final = 80
"""The longest name. With it the file name of a part, which contains two names, stays below the 255 bytes of file systems."""

RUN_ID: Final = r"[0-9A-Za-z][0-9A-Za-z_-]*"
"""The pattern of a run's id. In the names of a run's files the id ends at the first dot, so it contains none."""

_NAME: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]*")
_RUN_ID: Final = re.compile(RUN_ID)


def is_name(text: str) -> bool:
    """Whether a text is a valid name: at most 80 ASCII letters, digits and `.` `_` `+` `-`, with a letter or digit first."""
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None


def refusal(text: str) -> str:
    """The message about a text that is not a valid name."""
    return (
        f"{text[: LONGEST_NAME + 1]!r} is not a valid name: expected at most {LONGEST_NAME} letters, digits and . _ + -, "
        "beginning with a letter or digit"
    )


def _checked(text: str) -> str:
    if not is_name(text):
        raise ValueError(refusal(text))
    return text


def _checked_run_id(text: str) -> str:
    if len(text) > LONGEST_NAME or _RUN_ID.fullmatch(text) is None:
        raise ValueError(
            f"{text[: LONGEST_NAME + 1]!r} is not a valid run id: expected at most {LONGEST_NAME} letters, digits, _ and -, "
            "beginning with a letter or digit"
        )
    return text


Name = Annotated[str, AfterValidator(_checked)]
RunId = Annotated[str, AfterValidator(_checked_run_id)]
