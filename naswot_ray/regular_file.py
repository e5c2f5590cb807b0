"""Regular files, opened only after a check that they are regular.

Reading a pipe may wait for ever, and a device such as `/dev/zero` never ends. So a path is opened without blocking, and its
kind is checked before anything is read.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFDIR: "a folder"}


def open_regular(path: Path, *, max_bytes: int | None = None) -> BufferedReader:
    """Open a file for reading.

    Args:
        path: the path of a regular file, or of a link to one.
        max_bytes: the largest size that is accepted; None for any size.

    Raises:
        OSError: it is not a regular file, is too large, or cannot be opened; `strerror` says which.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "of another kind")
            raise OSError(errno.EINVAL, f"it is {kind}, expected a regular file", str(path))
        if max_bytes is not None and status.st_size > max_bytes:
            raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, expected at most {max_bytes:,}", str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, *, max_bytes: int | None = None) -> bytes:
    """Read a whole file.

    Args:
        path: the path of a regular file, or of a link to one.
        max_bytes: the largest size that is accepted; None for any size.

    Raises:
        OSError: as in `open_regular`, or the file cannot be read.
    """
    with open_regular(path, max_bytes=max_bytes) as file:
        return file.read()


def check_regular(path: Path) -> None:
    """Refuse a path that is not a regular file, before another library opens it.

    Raises:
        OSError: as in `open_regular`.
    """
    open_regular(path).close()
