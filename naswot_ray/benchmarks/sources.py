"""What the readers of official files share: percentages, and the digest of a source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Progress = Callable[[int, int], None]
"""Called now and then with the bytes read so far and the bytes in all."""


def no_progress(done: int, total: int) -> None:
    """The progress of a reader that nobody watches."""


def percentage(value: Any) -> float:
    """An accuracy as a source gives it.

    Raises:
        ValueError: not a number from 0 to 100.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
        raise ValueError(f"expected a percentage from 0 to 100, found {value!r}")
    return float(value)


def digest_of(paths: Iterable[Path]) -> str:
    """SHA-256 of one file; of the names and digests of several.

    Raises:
        OSError: one of them cannot be read.
    """
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    if len(digests) == 1:
        return digests[0][1]
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in digests).encode()).hexdigest()
