"""Tells how much memory a process may still take."""

from __future__ import annotations

import sys
from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """The free memory of the machine or of the process's control group, whichever is less.

    The result is `sys.maxsize` where the system reports neither.
    """
    free = [_meminfo("MemAvailable"), _left_in_cgroup()]
    return min((size for size in free if size is not None), default=sys.maxsize)


def check_memory(more: int, whole: int | None = None) -> None:
    """Refuse a network that needs more memory than is free.

    Args:
        more: bytes that have yet to be allocated.
        whole: bytes that the network takes in all, for the message; by default `more`.

    Raises:
        MemoryError: fewer than `more` bytes are free.
    """
    if more > (available := available_bytes()):
        raise MemoryError(f"the network takes {(whole or more) / 2**20:,.0f} MiB, {available / 2**20:,.0f} MiB are free")


def _meminfo(key: str) -> int | None:
    try:
        lines = (_PROC / "meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), None)


def _left_in_cgroup() -> int | None:
    """The least memory left in the process's control group and those above it (cgroups version 2); None without a limit."""
    try:
        lines = (_PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return None
    path = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if path is None:
        return None
    left = []
    group = _CGROUPS / path
    while group != _CGROUPS.parent:
        try:
            limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
            if limit != "max":
                left.append(max(0, int(limit) - int(used)))
        except (OSError, ValueError):
            pass
        group = group.parent
    return min(left, default=None)
