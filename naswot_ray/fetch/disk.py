"""Checks for free disk space, and readable errors for files that cannot be written."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from rich.filesize import decimal

from naswot_ray.errors import FetchError

_REMEDY = "free some, or name another folder with --cache"


def check_room(folder: Path, num_bytes: int, what: str) -> None:
    """Refuse to start work for which the disk has too little room.

    Args:
        folder: an existing folder on that disk.
        num_bytes: how many bytes have yet to be written.
        what: what is going to be written, for the message.

    Raises:
        FetchError: the disk has less room; the message says how much.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise FetchError(f"{what} needs {decimal(num_bytes)}, the disk of {folder} has {decimal(free)} left: {_REMEDY}")


def write_failure(path: Path, error: OSError) -> FetchError:
    """The error to raise for a file or folder that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FetchError(f"no room left on the disk of {path.parent}: {_REMEDY}; the same command then goes on")
    return FetchError(f"cannot write {path}: {error.strerror or error}; name another folder with --cache")
