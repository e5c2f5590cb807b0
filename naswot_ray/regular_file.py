"""Opening what a user's path names only where it is a regular file.

A pipe would keep its reader waiting for ever, a device such as `/dev/zero` gives bytes without end. Neither is opened for
reading: the file is opened without waiting and looked at first.
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
        path: of a regular file, or a link to one.
        max_bytes: how large it may be; None for any size.

    Raises:
        OSError: it is no regular file, is larger, or cannot be opened; `strerror` says so.
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
    """The content of a file.

    Args:
        path: of a regular file, or a link to one.
        max_bytes: how large it may be; None for any size.

    Raises:
        OSError: as `open_regular`, or it cannot be read.
    """
    with open_regular(path, max_bytes=max_bytes) as file:
        return file.read()


def check_regular(path: Path) -> None:
    """Refuse what is no regular file, before another library opens it.

    Raises:
        OSError: as `open_regular`.
    """
    open_regular(path).close()
