"""Files on a local disk: each is written in one step, and processes that share the disk take turns by locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import pyarrow as pa

from naswot_ray.dataset import layout
from naswot_ray.terminal import complain

STALE_SECONDS: Final = 15 * 60
"""A temporary file of this age is taken for the leftover of a killed process, since writing one takes only seconds."""

TELL_SECONDS: Final = 5.0
"""How long to wait for a lock before telling the user."""
GIVE_UP_SECONDS: Final = 300.0
"""How long to wait for a lock before giving up. A lock is held while one part is read, merged and written."""

_FIRST_PAUSE_SECONDS: Final = 0.001
_LONGEST_PAUSE_SECONDS: Final = 0.1
_MAX_HOLDER_BYTES: Final = 300
_SWEPT_TRIES: Final = 5
_LOCK_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


def write_whole(path: Path, data: bytes | pa.Buffer) -> None:
    """Write a file under a temporary name, flush it to the disk and rename it.

    Raises:
        OSError: it cannot be written. An earlier file of this name is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for remaining in reversed(range(_SWEPT_TRIES)):
        temporary = path.with_name(layout.temporary(PurePosixPath(path.name), secrets.token_hex(8)).name)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except FileNotFoundError:
            # Another process removed the file as too old: a clock jumped, or differs between machines.
            temporary.unlink(missing_ok=True)
            if not remaining:
                raise
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        else:
            break
    _sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file if it exists."""
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which need not exist, so that every other process that asks for it waits.

    The kernel releases the lock when the process ends, however it ends. On a file system without locks this does nothing. After
    `TELL_SECONDS` of waiting, a line on stderr says which process holds the lock.

    Raises:
        OSError: the lock file cannot be created, or another process has held the lock for `GIVE_UP_SECONDS`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(layout.lock(PurePosixPath(path.name)).name)
    descriptor = _acquire(lock)
    try:
        yield
    finally:
        # Removed before it is released: a process that waits for it finds that its file is gone, and creates a new one.
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def sweep(root: Path) -> None:
    """Remove the temporary files and locks that killed processes left behind."""
    horizon = time.time() - STALE_SECONDS
    for path in root.rglob(".*"):
        with contextlib.suppress(OSError):
            if layout.is_temporary(path.name) and path.stat().st_mtime < horizon:
                path.unlink()
            elif layout.is_lock(path.name):
                _remove_unless_held(path)


def _acquire(lock: Path) -> int:
    started = time.monotonic()
    while True:
        descriptor = os.open(lock, os.O_CREAT | _LOCK_FLAGS, 0o666)
        try:
            _wait_for(descriptor, lock, started)
            if _is_at(descriptor, lock):
                with contextlib.suppress(OSError):  # a full disk: the text only informs processes that wait
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
                return descriptor
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return descriptor
            os.close(descriptor)
            raise
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last holder has removed the file meanwhile


def _wait_for(descriptor: int, lock: Path, started: float) -> None:
    """Take a lock as soon as it is free. It is polled, because a wait in the kernel could not be ended after a while."""
    pause, told = _FIRST_PAUSE_SECONDS, False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - started
            if waited >= GIVE_UP_SECONDS:
                raise OSError(
                    errno.EBUSY,
                    f"{_holder(descriptor)} has held the lock {lock} for {GIVE_UP_SECONDS:g} s; let it finish or end it, then "
                    "run the same command again",
                ) from None
            if waited >= TELL_SECONDS and not told:
                told = True
                complain(
                    f"waiting for the lock {lock}, which {_holder(descriptor)} holds; giving up after {GIVE_UP_SECONDS:g} s"
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        else:
            return


def _holder(descriptor: int) -> str:
    """The process that holds a lock, as it described itself in the lock file."""
    with contextlib.suppress(OSError):
        text = os.pread(descriptor, _MAX_HOLDER_BYTES, 0).decode(errors="replace")
        if text.isprintable() and text:
            return text
    return "another process"


def _remove_unless_held(lock: Path) -> None:
    descriptor = os.open(lock, _LOCK_FLAGS)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(descriptor, lock):
            lock.unlink()
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
