"""What the readers of official files share: percentages, the digest of a source, and reading within bounds."""

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
        raise ValueError(f"expected a percentage from 0 to 100, found {reprlib.repr(value)}")
    return float(value)


def duration(value: Any) -> float:
    """A time in seconds as a source gives it.

    Raises:
        ValueError: not a finite number, or negative.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"expected a time in seconds, found {reprlib.repr(value)}")
    return float(value)


def digest_of(paths: Iterable[Path]) -> str:
    """SHA-256 of one file; of the names and digests of several.

    Raises:
        OSError: one of them cannot be read.
    """
    digests = []
    for path in paths:
        with open_regular(path) as file:
            digests.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    if len(digests) == 1:
        return digests[0][1]
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in digests).encode()).hexdigest()


def checked_digest(path: Path, digits: str | None, known_sha256: str | None = None) -> str:
    """SHA-256 of a file, whose MD5 is checked against the digits of it that the file's name carries.

    The benchmarks' own script (AutoDL-Projects, xautodl/utils/hash_utils.py) takes the MD5's last digits, descriptions
    elsewhere speak of the first: either will do.

    Args:
        path: the file.
        digits: hexadecimal, lower case; None where there are none to check.
        known_sha256: a file of this SHA-256 is genuine, whatever the digits are.

    Raises:
        BenchmarkError: another MD5; the file is damaged or not the official one.
        OSError: it cannot be read.
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
    """What a stream unpacks to, up to a limit: a few bytes can unpack to any number.

    Args:
        stream: the unpacked bytes.
        max_bytes: more than that is an error.
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
