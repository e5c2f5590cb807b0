"""What all readers of official files use: percentages and times, digests, and streams that stop at a limit."""

from __future__ import annotations

import hashlib
import io
import math
import reprlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, Final

from naswot_ray.errors import BenchmarkError
from naswot_ray.regular_file import open_regular

_CHUNK: Final = 1 << 20

ReadProgress = Callable[[int, int], None]
"""A function that a reader calls now and then, with the bytes read so far and the bytes in total."""


def no_progress(done: int, total: int) -> None:
    """The callback of a reader whose progress nobody shows."""


def percentage(value: Any) -> float:
    """An accuracy in percent, checked.

    Raises:
        ValueError: it is not a number from 0 to 100.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
        raise ValueError(f"expected a percentage from 0 to 100, found {reprlib.repr(value)}")
    return float(value)


def duration(value: Any) -> float:
    """A time in seconds, checked.

    Raises:
        ValueError: it is not a finite number, or is negative.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"expected a time in seconds, found {reprlib.repr(value)}")
    return float(value)


def digest_of(paths: Iterable[Path]) -> str:
    """The SHA-256 of a file. For several files, the SHA-256 of their names and digests.

    Raises:
        OSError: a file cannot be read.
    """
    digests = []
    for path in paths:
        with open_regular(path) as file:
            digests.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    if len(digests) == 1:
        return digests[0][1]
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in digests).encode()).hexdigest()


def checked_digest(path: Path, digits: str | None, known_sha256: str | None = None) -> str:
    """The SHA-256 of a file. Its MD5 is checked against digits from the name of the file.

    The script of the benchmarks (AutoDL-Projects, xautodl/utils/hash_utils.py) uses the last digits of the MD5, but
    descriptions elsewhere speak of the first ones. Either is accepted.

    Args:
        path: the file.
        digits: hexadecimal digits in lower case; None if there are none to check.
        known_sha256: a file with this SHA-256 is genuine, whatever the digits are.

    Raises:
        BenchmarkError: the MD5 does not match, so the file is damaged or not the official one.
        OSError: the file cannot be read.
    """
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
    found = md5.hexdigest()
    is_known = sha256.hexdigest() == known_sha256
    if digits and not (is_known or found.endswith(digits) or found.startswith(digits)):
        raise BenchmarkError(f"{path} is damaged: its MD5 is {found}, by its name it ends with {digits}; download it again")
    return sha256.hexdigest()


class BoundedStream(io.RawIOBase):
    """An unpacking stream with a limit, because a few bytes can unpack to any number of bytes.

    Args:
        stream: gives the unpacked bytes.
        max_bytes: reading more than this raises an error.
        on_read: called after each chunk.
    """

    def __init__(self, stream: IO[bytes] | io.BufferedIOBase, max_bytes: int, on_read: Callable[[], None]) -> None:
        self._stream = stream
        self._remaining = max_bytes
        self._on_read = on_read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        self._remaining -= len(data)
        if self._remaining < 0:
            raise OSError("it unpacks to more than such a file has")
        buffer[: len(data)] = data
        self._on_read()
        return len(data)

    def buffered(self) -> io.BufferedReader:
        """This stream, for reading in small pieces."""
        return io.BufferedReader(self, _CHUNK)
