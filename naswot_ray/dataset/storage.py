"""The storage of a dataset: all its files are read and written here.

A file appears whole or not at all, on a local disk (`local_files`) and in an object store (`object_store`). Operations that
fail for a moment are retried (`retry`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from naswot_ray.dataset import address, local_files, object_store, retry, seal
from naswot_ray.dataset.confinement import check_relative, confined
from naswot_ray.dataset.seal import BrokenSealError
from naswot_ray.errors import DatasetError
from naswot_ray.regular_file import read_regular

_ROOT = PurePosixPath()
_T = TypeVar("_T")


@dataclass(frozen=True)
class StoredFile:
    """A file that a listing found.

    Attributes:
        path: relative to the dataset's root.
        size: in bytes.
        modified: time of the last modification, in nanoseconds since 1970.
    """

    path: PurePosixPath
    size: int
    modified: int = 0


class Storage:
    """The root folder of a dataset. Paths relative to it come from `layout`.

    Pickling keeps only `address.pinned`, which other processes can open.

    Args:
        root: a local path, or a URI: `s3://bucket/prefix`, `gs://bucket/prefix` or `file:///path`. docs/storage.md describes
            the query parameters of URIs and where credentials come from.

    Attributes:
        address: the components of the root.
        root: the root as it was given, for messages; a local path is made absolute.
        local: the folder on the local disk; None for an object store.
        filesystem: the pyarrow file system of the root.

    Raises:
        DatasetError: the root is a URI of another kind, contains credentials, or is a local file.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.address = address.parse(root)
        self.root: str = self.address.text
        self.local: Path | None = self.address.local
        self.filesystem: fs.FileSystem = self.address.filesystem
        self._retrier = retry.Retrier()
        if self.local is not None and self.local.exists() and not self.local.is_dir():
            raise DatasetError(f"{self.root} is a file; a dataset is a directory")

    def __reduce__(self) -> tuple[type[Storage], tuple[str]]:
        return Storage, (self.address.pinned,)

    def path(self, relative: PurePosixPath) -> str:
        """The full path or URI of a file in the dataset, for messages."""
        return _join(self.address.name, relative)

    def inner_path(self, relative: PurePosixPath) -> str:
        """The path of a file as `filesystem` takes it."""
        return _join(self.address.path, relative)

    def exists(self, relative: PurePosixPath = _ROOT) -> bool:
        """Whether a file or folder exists. In an object store a folder exists if it contains something.

        Raises:
            DatasetError: the storage cannot be read.
        """
        info = self._read(relative, lambda: self.filesystem.get_file_info(self.inner_path(relative)))
        return bool(info.type != fs.FileType.NotFound)

    def is_empty(self) -> bool:
        """Whether nothing has been written under the root yet.

        Raises:
            DatasetError: the storage cannot be read, or the bucket does not exist.
        """
        if self._select(_ROOT, recursive=False):
            return False
        bucket = self.address.bucket
        if bucket:
            info = self._read(_ROOT, lambda: self.filesystem.get_file_info(bucket))
            if info.type == fs.FileType.NotFound:
                raise DatasetError(f"{self.path(_ROOT)}: there is no bucket {bucket} at this endpoint; create it first")
        return True

    def list_files(self, folder: PurePosixPath = _ROOT, *, recursive: bool = False) -> list[StoredFile]:
        """List the files in a folder, including hidden ones, sorted by path. The list is empty if the folder does not exist.

        An object store returns 1,000 names per request.

        Args:
            folder: the folder.
            recursive: whether to include the files in the folders below.

        Raises:
            DatasetError: the storage cannot be read.
        """
        start = len(self.address.path.rstrip("/")) + 1
        found = (info for info in self._select(folder, recursive=recursive) if info.is_file)
        listed = sorted((info.path[start:], info.size, info.mtime_ns or 0) for info in found)
        return [StoredFile(PurePosixPath(path), size, modified) for path, size, modified in listed]

    def list_others(self, folder: PurePosixPath = _ROOT) -> list[PurePosixPath]:
        """List what is in a folder but is not a file, sorted: folders, broken links, devices.

        Raises:
            DatasetError: as in `list_files`.
        """
        start = len(self.address.path.rstrip("/")) + 1
        return sorted(PurePosixPath(info.path[start:]) for info in self._select(folder, recursive=False) if not info.is_file)

    def list_names(self, folder: PurePosixPath) -> list[str]:
        """The sorted names of the files in a folder; empty if the folder does not exist.

        Raises:
            DatasetError: as in `list_files`.
        """
        return [file.path.name for file in self.list_files(folder)]

    def read_bytes(self, relative: PurePosixPath, *, max_bytes: int | None = None) -> bytes:
        """Read a whole file.

        Args:
            relative: the file's path.
            max_bytes: the largest size that is accepted; None for any size.

        Raises:
            DatasetError: it cannot be read, is too large, or is not a regular file.
        """

        def read() -> bytes:
            if self.local is not None:
                return read_regular(self.local / relative, max_bytes=max_bytes)
            size = self.filesystem.get_file_info(self.inner_path(relative)).size if max_bytes is not None else None
            if max_bytes is not None and size is not None and size > max_bytes:
                raise OSError(errno.EFBIG, f"it has {size:,} bytes, expected at most {max_bytes:,}")
            with self.filesystem.open_input_stream(self.inner_path(relative), compression=None) as stream:
                return bytes(stream.read())

        return self._read(relative, read)

    @contextlib.contextmanager
    def open_parquet(self, relative: PurePosixPath) -> Iterator[pq.ParquetFile]:
        """Open a Parquet file that `write_table` wrote. It is read whole and verified by its seal.

        Raises:
            BrokenSealError: the file is not what was written there; the message says what to do.
            DatasetError: it cannot be read, or lacks columns that are read from it.
        """
        data = self.read_bytes(relative)
        try:
            seal.verify(data, relative)
        except BrokenSealError as error:
            message = f"{self.path(relative)} {error.reason}; {self.remedy}"
            raise BrokenSealError(message, reason=error.reason, home=error.home, is_sealed=error.is_sealed) from None
        try:
            with pq.ParquetFile(pa.BufferReader(data)) as file:
                yield file
        except (pa.ArrowException, KeyError) as error:
            raise DatasetError(
                f"{self.path(relative)} does not have the expected columns ({retry.reason_of(error)}); {self.remedy}"
            ) from error

    @property
    def remedy(self) -> str:
        """What a user can do about a file that is not what it should be."""
        return f"`naswot-ray check {shlex.quote(self.root)}` reports what is wrong with the dataset and how to repair it"

    def write_table(self, relative: PurePosixPath, table: pa.Table) -> int:
        """Write a table as a sealed Parquet file, replacing an earlier file in one step.

        Returns:
            the size of the file in bytes.

        Raises:
            DatasetError: the disk is full, the folder or bucket cannot be written, or the path leads out of the root. An
                earlier file is then unchanged.
        """
        data = seal.sealed(table.schema, [table], lambda: relative)
        self.write_bytes(relative, data)
        return int(data.size)

    def write_bytes(self, relative: PurePosixPath, data: bytes | pa.Buffer) -> None:
        """Write a file, replacing an earlier one in one step.

        Raises:
            DatasetError: as in `write_table`.
        """
        local = self._local_target(relative)

        def write() -> None:
            if local is not None:
                local_files.write_whole(local, data)
            else:
                object_store.write_whole(self.filesystem, self.inner_path(relative), data)

        self._change("write", relative, write)

    def remove(self, relative: PurePosixPath) -> None:
        """Remove a file if it exists.

        Raises:
            DatasetError: it cannot be removed, or the path leads out of the root.
        """
        local = self._local_target(relative)

        def remove() -> None:
            if local is not None:
                local_files.remove(local)
            else:
                object_store.remove(self.filesystem, self.inner_path(relative))

        self._change("remove", relative, remove)

    def remove_folder(self, relative: PurePosixPath) -> None:
        """Remove a folder, if it exists, and everything in it.

        Raises:
            DatasetError: something in it cannot be removed.
        """

        def remove() -> None:
            with contextlib.suppress(FileNotFoundError):
                self.filesystem.delete_dir(self.inner_path(relative))

        self._change("remove", relative, remove)

    @contextlib.contextmanager
    def locked(self, relative: PurePosixPath) -> Iterator[None]:
        """Hold the lock of a file while it is read, merged and written. Other processes that ask for the same lock wait.

        Object stores have no locks, and there this does nothing. If two drivers write the same part at once, rows of one of
        them may be lost. The check at the end of a run finds that.

        Raises:
            DatasetError: the folder cannot be written, or the path leads out of the root.
        """
        local = self._local_target(relative)
        with contextlib.ExitStack() as stack:
            if local is not None:
                self._change("lock", relative, lambda: stack.enter_context(local_files.locked(local)))
            yield

    def sweep_temporaries(self) -> None:
        """Remove the temporary files and locks of killed processes. In an object store they leave none."""
        if self.local is not None:
            local_files.sweep(self.local)

    def take_notes(self) -> tuple[str, ...]:
        """Return the notes for the operator since the last call, such as retried operations. Their number is bounded."""
        return self._retrier.take_notes()

    def note(self, note: str) -> None:
        """Keep a line for the next call of `take_notes`."""
        self._retrier.note(note)

    def _local_target(self, relative: PurePosixPath) -> Path | None:
        """The local path of a file that is to be written or removed; None in an object store.

        Raises:
            DatasetError: the path leads out of the root.
        """
        check_relative(self.address.name, relative)
        return None if self.local is None else confined(self.local, relative)

    def _select(self, folder: PurePosixPath, *, recursive: bool) -> list[fs.FileInfo]:
        selector = fs.FileSelector(self.inner_path(folder), allow_not_found=True, recursive=recursive)
        return self._read(folder, lambda: list(self.filesystem.get_file_info(selector)))

    def _read(self, relative: PurePosixPath, action: Callable[[], _T]) -> _T:
        path = self.path(relative)
        try:
            return self._retrier.call(f"read {path}", action)
        except OSError as error:
            reason = error.strerror or retry.reason_of(error)
            raise DatasetError(f"cannot read {path}: {reason}{self._remedy(error)}") from error

    def _change(self, verb: str, relative: PurePosixPath, action: Callable[[], object]) -> None:
        path = self.path(relative)
        try:
            self._retrier.call(f"{verb} {path}", action)
        except OSError as error:
            reason = error.strerror if self.local is not None else retry.reason_of(error)
            remedy = self._remedy(error) or "; free space or correct the permissions, then run the same command again"
            if error.errno == errno.EBUSY:  # another process holds the lock; the reason itself says what to do
                remedy = ""
            raise DatasetError(f"cannot {verb} {path}: {reason}{remedy}: everything written before is kept") from error

    def _remedy(self, error: OSError) -> str:
        if self.local is not None or isinstance(error, FileNotFoundError):
            return ""
        if remedy := retry.remedy_of(error):
            return f"; {remedy}"
        if "(HTTP status 301)" in str(error):
            region = dict(self.address.options).get("region")
            return f"; the bucket is not in region {region}: give its region with ?region=..."
        if retry.is_transient(error):
            return "; it was retried without success: run the same command again when the storage answers"
        return "; correct the bucket's name, its policy or the credentials, then run the same command again"


def _join(base: str, relative: PurePosixPath) -> str:
    return base if relative == _ROOT else f"{base.rstrip('/')}/{relative}"
