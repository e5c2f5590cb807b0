"""The downloaded part of a file that is not complete yet.

It is called `.NAME.part`. A `.NAME.part.json` beside it records the URL and the version that it belongs to. The folder of
downloads can be shared, so a part that an earlier command left is used only if nobody but this user can have written it. A file
planted by somebody else could be a link to another file of the user, or pass as a complete download.
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
"""Set even under an umask that lets the group write. Otherwise a later check could not tell this user from the group."""


class _ForeignError(OSError):
    """The file may have been written by another user."""


class PartialFile:
    """The downloaded part of a file, and the version that it belongs to.

    Args:
        address: the URL of the file. A part that came from another URL is deleted.
        target: the path of the complete file.

    Attributes:
        path: the path of the part.
        validator: identifies the version, for `If-Range`; None if the server gave none.
        total: bytes of the complete file; None if the server did not say.
        refused: why an existing part is not used; None if there was none, or it came from another URL.

    Raises:
        OSError: an existing part can neither be used nor deleted.
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
        """How many bytes have arrived."""
        return self.path.stat().st_size if self.path.exists() else 0

    def open_end(self) -> BinaryIO:
        """Open the part to append to it. It is created if it does not exist.

        Raises:
            OSError: it cannot be opened, or another user may have written it.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        try:
            descriptor = _open(str(self.path), flags | os.O_CREAT | os.O_EXCL)
            self._begun = os.fstat(descriptor)
        except FileExistsError:
            descriptor = self._open_own(str(self.path), flags)
        return os.fdopen(descriptor, "ab")

    def restart(self, validator: str | None, total: int | None) -> None:
        """Delete the part, and expect this version from now on."""
        self.drop()
        self.validator, self.total = validator, total
        with open(self._record, "x", opener=_open) as file:
            json.dump({"address": self._address, "validator": validator, "total": total}, file)

    def drop(self) -> None:
        """Delete the part."""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)

    def finish(self) -> None:
        """Rename the part to the name of the complete file."""
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
        """Open a file that only this user can have written, or that this object created: some disks have no owners or modes."""
        descriptor = _open(path, flags)
        status = os.fstat(descriptor)
        reason = why_not_private(status)
        if reason and not (self._begun and os.path.samestat(self._begun, status)):
            os.close(descriptor)
            raise _ForeignError(errno.EPERM, f"{path} {reason}")
        return descriptor


def _open(path: str, flags: int) -> int:
    """Open a file. Refuses a link, and a pipe that nobody reads."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, _MODE)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _ForeignError(error.errno, f"{path} is no regular file") from error
        raise
