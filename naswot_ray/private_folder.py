"""A folder that only this user can have written to, for files that are trusted or even executed.

The folder is opened once, and everything in it is reached through that descriptor. So the folder that was checked is the one
that is used, even if other users can rename the folders above it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pwd
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
_FLAGS: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # the last, so that opening a planted pipe does not wait for ever


class NotPrivateError(Exception):
    """Another user could have put files into a folder. The message says how."""


class PrivateFolder:
    """A folder of mode 0700 that belongs to this user. As a context manager it closes its descriptor.

    Args:
        path: the folder's path. It is created, with its parents, if it does not exist. If it belongs to this user but has
            another mode, its mode is set to 0700.

    Raises:
        NotPrivateError: it is a symbolic link or belongs to another user.
        OSError: it cannot be created or opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=stat.S_IRWXU)
        if path.is_symlink():
            raise NotPrivateError(f"{path} is a symbolic link")
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
        try:
            status = os.fstat(self._descriptor)
            if status.st_uid != os.geteuid():
                raise NotPrivateError(f"{path} belongs to {_name_of(status.st_uid)}, not to {_name_of(os.geteuid())}")
            if stat.S_IMODE(status.st_mode) != stat.S_IRWXU:
                os.fchmod(self._descriptor, stat.S_IRWXU)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read(self, name: str) -> bytes | None:
        """The content of a file, or None if it does not exist.

        The file itself is checked too, because another user may have put it there before the folder became private.

        Raises:
            NotPrivateError: it is not a regular file, belongs to another user, or can be written by others.
            OSError: it cannot be read.
        """
        try:
            descriptor = os.open(name, os.O_RDONLY | _FLAGS, dir_fd=self._descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise NotPrivateError("is a symbolic link") from error
            raise
        with os.fdopen(descriptor, "rb") as file:
            if reason := why_not_private(os.fstat(descriptor)):
                raise NotPrivateError(reason)
            return file.read()

    def write(self, name: str, content: bytes) -> None:
        """Write a file in one step: write it under a temporary name, flush it to the disk and rename it.

        Raises:
            OSError: it cannot be written. An earlier file of this name is unchanged.
        """
        temporary = f".{name}.{secrets.token_hex(8)}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS
        descriptor = os.open(temporary, flags, stat.S_IRUSR | stat.S_IWUSR, dir_fd=self._descriptor)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
            os.fsync(self._descriptor)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=self._descriptor)
            raise

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the lock of this name, so that every other process that asks for it waits.

        The kernel releases the lock when the process ends, however it ends. On a file system without locks this does nothing.

        Raises:
            OSError: the lock file cannot be created.
        """
        flags = os.O_RDWR | os.O_CREAT | _FLAGS
        descriptor = os.open(name, flags, stat.S_IRUSR | stat.S_IWUSR, dir_fd=self._descriptor)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            yield
        finally:
            os.close(descriptor)


def why_not_private(status: os.stat_result) -> str | None:
    """Why another user may have written a file; None if only this user can have written it."""
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_uid != os.geteuid():
        return f"belongs to {_name_of(status.st_uid)}, not to {_name_of(os.geteuid())}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by others (mode {stat.S_IMODE(status.st_mode):03o})"
    if status.st_nlink > 1:
        return "has a second name (hard link)"
    return None


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:  # a container's user need not have a name
        return f"user {user}"
