"""Room on the disk, and plain words for what goes wrong with it."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from rich.filesize import decimal

from naswot_ray.errors import FetchError

_REMEDY = "free some, or name another folder with --cache"


def check_room(folder: Path, num_bytes: int, what: str) -> None:
    """Refuse to begin what cannot end.

    Args:
        folder: exists; on the disk in question.
        num_bytes: that are still to be written.
        what: is to be written.

    Raises:
        FetchError: the disk has less room; says how much.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise FetchError(f"{what} needs {decimal(num_bytes)}, the disk of {folder} has {decimal(free)} left: {_REMEDY}")


def write_failure(path: Path, error: OSError) -> FetchError:
    """The error to raise for a file or folder that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FetchError(f"no room left on the disk of {path.parent}: {_REMEDY}; the same command then goes on")
    return FetchError(f"cannot write {path}: {error.strerror or error}; name another folder with --cache")
