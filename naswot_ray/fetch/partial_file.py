"""The beginning of a file that is being downloaded.

It is called `.NAME.part`, beside a `.NAME.part.json` that says which version of which address it is the beginning of. A folder
of downloads may be shared, so what an earlier command has left is used only if this user must have written it: a planted file
could be a link to another file of the user, or pass for a whole download.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from typing import Any, BinaryIO, Final

from naswot_ray.private_folder import why_not_private

_MODE: Final = 0o644
"""Also under an umask that lets a group write, or this user could not be told from the group later."""


class _ForeignError(OSError):
    """A file is not this user's own."""


class Partial:
    """The beginning of a file, and which version of it that is.

    Args:
        address: where the file comes from. The beginning of one of another address is dropped.
        target: the path of the whole file.

    Attributes:
        path: of the beginning.
        validator: of the version, for `If-Range`; None if the server gave none.
        total: bytes of the whole file; None if the server did not say.
        refused: why a beginning that was there is not used; None if there was none, or of another address.

    Raises:
        OSError: what is there can neither be used nor removed.
    """

    def __init__(self, address: str, target: Path) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self.validator: str | None = None
        self.total: int | None = None
        self.refused: str | None = None
        self._address = address
        self._target = target
        self._begun: os.stat_result | None = None
        self._record = target.with_name(f".{target.name}.part.json")
        record: Any = None
        try:
            with contextlib.suppress(FileNotFoundError), open(self.path, "rb", opener=self._open_own):
                pass
            with contextlib.suppress(FileNotFoundError), open(self._record, "rb", opener=self._open_own) as file:
                record = json.loads(file.read())
        except _ForeignError as error:
            self.refused = str(error.strerror)
        except (ValueError, RecursionError):
            pass  # damaged
        if not self.refused and self._is_of_this_address(record):
            self.validator, self.total = record["validator"], record["total"]
        else:
            self.drop()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def open_end(self) -> BinaryIO:
        """Open the beginning, which need not be there, to write what follows.

        Raises:
            OSError: it cannot be opened, or is no file of this user.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        try:
            descriptor = _open(str(self.path), flags | os.O_CREAT | os.O_EXCL)
            self._begun = os.fstat(descriptor)
        except FileExistsError:
            descriptor = self._open_own(str(self.path), flags)
        return os.fdopen(descriptor, "ab")

    def restart(self, validator: str | None, total: int | None) -> None:
        """Drop what is there and expect this version."""
        self.drop()
        self.validator, self.total = validator, total
        with open(self._record, "x", opener=_open) as file:
            json.dump({"address": self._address, "validator": validator, "total": total}, file)

    def drop(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the file its name."""
        self.path.replace(self._target)
        self._record.unlink(missing_ok=True)

    def _is_of_this_address(self, record: Any) -> bool:
        if not isinstance(record, dict) or record.get("address") != self._address:
            return False
        validator, total = record.get("validator", 0), record.get("total", "")
        return (validator is None or (isinstance(validator, str) and validator.isprintable())) and (
            total is None or (type(total) is int and total >= 0)
        )

    def _open_own(self, path: str, flags: int) -> int:
        """Open a file that this user must have written, or that this object has begun: some disks know no owners or modes."""
        descriptor = _open(path, flags)
        status = os.fstat(descriptor)
        reason = why_not_private(status)
        if reason and not (self._begun and os.path.samestat(self._begun, status)):
            os.close(descriptor)
            raise _ForeignError(errno.EPERM, f"{path} {reason}")
        return descriptor


def _open(path: str, flags: int) -> int:
    """Open a file, but neither through a link nor a pipe that nobody reads."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, _MODE)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _ForeignError(error.errno, f"{path} is no regular file") from error
        raise
