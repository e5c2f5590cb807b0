"""Which files of a dataset have been verified, so that a second command need only list them.

What is known is kept in the user's cache folder, a file a dataset, by path, size and time of change. It may be deleted at any
time, and begins with a digest of its own: a damaged one counts as none. Nothing is kept of a file that changed a moment ago,
since it could change once more within the same tick of its storage's clock. `check` and `publish` read every file.
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
"""Files read at once: it takes as long as the storage needs, not the processor."""

LARGE_BYTES: Final = 64 * 2**20
"""Files from this size on are read one after the other: each is in memory as a whole."""

SETTLED_SECONDS: Final = 2.0
"""Age from which a file is kept: object stores tell the time of change in whole seconds."""

_VERSION: Final = 1

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Verified:
    """What is known of a file as long as its size and time of change are the same.

    Attributes:
        size, modified: of the file, as listed.
        digest: of its seal.
        facts: what was found in it, as JSON values.
    """

    size: int
    modified: int
    digest: str
    facts: Any = None


class VerifiedFiles:
    """The verified files of a dataset.

    Args:
        storage: the dataset.
        fresh: whether to take no file for known that was verified before.
    """

    def __init__(self, storage: Storage, *, fresh: bool = False) -> None:
        self._storage = storage
        self._fresh = fresh
        self._known: dict[PurePosixPath, Verified] | None = None
        self._changes: dict[PurePosixPath, Verified | None] = {}

    def find(self, file: StoredFile) -> Verified | None:
        """What is known of a file; None if it has to be read."""
        known = None if self._fresh else self._entries.get(file.path)
        return known if known is not None and (known.size, known.modified) == (file.size, file.modified) else None

    def add(self, file: StoredFile, digest: str, facts: Any = None) -> None:
        """Note that a file has been verified as it was listed."""
        if time.time_ns() - file.modified > SETTLED_SECONDS * 1e9:
            self._change(file.path, Verified(file.size, file.modified, digest, facts))

    def verify(self, files: Sequence[StoredFile]) -> dict[PurePosixPath, str | BrokenSealError]:
        """Read the files that are not known yet.

        Returns:
            per file the digest of its seal, or what is wrong with it.

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
        """Write down what has changed, beside what others have written; a cache that cannot be written costs time only."""
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
        """Drop what is known of files of a table that are no longer there.

        Args:
            table: whose.
            files: all that are there.
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
    """A function's results for many items, for each of which it waits for the storage."""
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(NUM_READERS, len(items))) as pool:
        return list(pool.map(function, items))


def _folder() -> PrivateFolder:
    """Where the caches lie: what another user could have put there would hide damage."""
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
