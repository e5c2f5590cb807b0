"""How a whole file gets onto a local disk in one step, and how processes that share the disk take turns."""

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
"""Age from which a temporary file is taken for the leftover of a killed process: writing one takes seconds."""

TELL_SECONDS: Final = 5.0
"""Seconds of waiting for a lock after which the user is told."""
GIVE_UP_SECONDS: Final = 300.0
"""Seconds of waiting for a lock that end in an error: a lock is held while one part is read, merged and written."""

_FIRST_PAUSE_SECONDS: Final = 0.001
_LONGEST_PAUSE_SECONDS: Final = 0.1
_MAX_HOLDER_BYTES: Final = 300
_SWEPT_TRIES: Final = 5
_LOCK_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


def write_whole(path: Path, data: bytes | pa.Buffer) -> None:
    """Write a file under a temporary name, flush it to the disk and rename it.

    Raises:
        OSError: what was there before is untouched.
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
            # A clock that jumped, or another machine's, made it look old: someone swept it away under our hands.
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
    """Remove a file that need not be there."""
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which need not be there, against every other process that asks for it.

    The kernel releases it when its process ends, however it ends. On a file system without locks this does nothing. Who waits
    for longer than `TELL_SECONDS` is told on stderr who holds it.

    Raises:
        OSError: the lock's file cannot be made, or another process has held it for `GIVE_UP_SECONDS`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(layout.lock(PurePosixPath(path.name)).name)
    descriptor = _acquire(lock)
    try:
        yield
    finally:
        # Removed while it is held: whoever waits for it then finds that its file is gone, and makes a new one.
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
                with contextlib.suppress(OSError):  # on a full disk: only for those who wait
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
        os.close(descriptor)  # its last holder removed it meanwhile


def _wait_for(descriptor: int, lock: Path, started: float) -> None:
    """Take a lock as soon as it is free; in small steps, since nothing else ends a wait in the kernel."""
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
    """Who holds a lock, as it wrote into the lock's file."""
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
