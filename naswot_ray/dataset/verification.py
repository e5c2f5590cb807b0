"""The record of a dataset's verified files, so that a second command only has to list them.

The record is a file per dataset in the user's cache directory. It keeps each verified file's path, size and modification time.
It may be deleted at any time, and begins with a digest of its own: a damaged record is ignored. A file that changed a moment
ago is not recorded, because it could change again within the same tick of its storage's clock. `check` and `publish` ignore the
record and read every file.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar

from naswot_ray.cache import cache_directory
from naswot_ray.dataset import seal
from naswot_ray.dataset.seal import BrokenSealError
from naswot_ray.dataset.storage import Storage, StoredFile
from naswot_ray.private_folder import NotPrivateError, PrivateFolder

NUM_READERS: Final = 16
"""How many files are read at once. Reading waits for the storage, not for the processor."""

LARGE_BYTES: Final = 64 * 2**20
"""Files of this size or larger are read one after the other, because each is held in memory as a whole."""

SETTLED_SECONDS: Final = 2.0
"""How old a file must be to be recorded. Object stores give modification times in whole seconds."""

_VERSION: Final = 1

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Verified:
    """The entry of a verified file. It is valid as long as the file's size and modification time are the same.

    Attributes:
        size, modified: the file's size and modification time, as listed.
        digest: the digest in its seal.
        facts: what else is known about its content, as JSON values.
    """

    size: int
    modified: int
    digest: str
    facts: Any = None


class VerifiedFiles:
    """The verified files of a dataset.

    Args:
        storage: the dataset.
        fresh: whether to ignore earlier verifications.
    """

    def __init__(self, storage: Storage, *, fresh: bool = False) -> None:
        self._storage = storage
        self._fresh = fresh
        self._known: dict[PurePosixPath, Verified] | None = None
        self._changes: dict[PurePosixPath, Verified | None] = {}

    def find(self, file: StoredFile) -> Verified | None:
        """The entry of a file; None if the file has to be read."""
        known = None if self._fresh else self._entries.get(file.path)
        return known if known is not None and (known.size, known.modified) == (file.size, file.modified) else None

    def add(self, file: StoredFile, digest: str, facts: Any = None) -> None:
        """Record that a file has been verified. A file that changed a moment ago is not recorded."""
        if time.time_ns() - file.modified > SETTLED_SECONDS * 1e9:
            self._change(file.path, Verified(file.size, file.modified, digest, facts))

    def verify(self, files: Sequence[StoredFile]) -> dict[PurePosixPath, str | BrokenSealError]:
        """Verify files. Those that were verified before and have not changed are not read.

        Returns:
            path -> the digest in the file's seal, or an error that says what is wrong with the file.

        Raises:
            DatasetError: one cannot be read.
        """
        found: dict[PurePosixPath, str | BrokenSealError] = {}
        unknown = []
        for file in files:
            known = self.find(file)
            if known is None:
                unknown.append(file)
            else:
                found[file.path] = known.digest
        small, large = ([file for file in unknown if (file.size >= LARGE_BYTES) is is_large] for is_large in (False, True))
        results = [*in_threads(self._digest_of, small), *map(self._digest_of, large)]
        for file, result in zip([*small, *large], results, strict=True):
            found[file.path] = result
            if isinstance(result, str):
                self.add(file, result)
        self.save()
        return found

    def save(self) -> None:
        """Add the new entries to the record in the cache. If that cannot be written, later commands only take longer."""
        if not self._changes:
            return
        kept = _read(self._name) | self._changes
        entries = {str(path): [v.size, v.modified, v.digest, v.facts] for path, v in kept.items() if v is not None}
        content = {"version": _VERSION, "dataset": self._storage.root, "files": entries}
        data = json.dumps(content, separators=(",", ":")).encode()
        with suppress(OSError, NotPrivateError), _folder() as folder:
            folder.write(self._name, hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
        self._changes = {}

    def forget_others(self, table: str, files: Iterable[StoredFile]) -> None:
        """Drop the entries of files of a table that no longer exist.

        Args:
            table: the table.
            files: all of its files that exist.
        """
        there = {file.path for file in files}
        for path in [path for path in self._entries if path.parts[0] == table and path not in there]:
            self._change(path, None)

    def _change(self, path: PurePosixPath, known: Verified | None) -> None:
        self._changes[path] = known
        if known is None:
            del self._entries[path]
        else:
            self._entries[path] = known

    @property
    def _name(self) -> str:
        return f"{hashlib.sha256(self._storage.address.pinned.encode()).hexdigest()[:32]}.json"

    @property
    def _entries(self) -> dict[PurePosixPath, Verified]:
        if self._known is None:
            self._known = _read(self._name)
        return self._known

    def _digest_of(self, file: StoredFile) -> str | BrokenSealError:
        try:
            with self._storage.open_parquet(file.path) as content:
                return str(content.metadata.metadata[seal.DIGEST_KEY].decode())
        except BrokenSealError as error:
            return error


def in_threads(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Call a function for many items in threads and return the results in order. It should mostly wait for the storage."""
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(NUM_READERS, len(items))) as pool:
        return list(pool.map(function, items))


def _folder() -> PrivateFolder:
    """The folder of the records. It is private, because a record from another user could hide damage."""
    return PrivateFolder(cache_directory() / "verified")


def _read(name: str) -> dict[PurePosixPath, Verified]:
    try:
        with _folder() as folder:
            digest, _, data = (folder.read(name) or b"").partition(b"\n")
        if hashlib.sha256(data).hexdigest().encode() != digest:
            return {}
        content = json.loads(data)
        entries: Mapping[str, Any] = content["files"] if content["version"] == _VERSION else {}
        return {PurePosixPath(name): Verified(*values) for name, values in entries.items()}
    except (OSError, NotPrivateError, ValueError, KeyError, TypeError, AttributeError):
        return {}
