"""Reading and writing files under a dataset's root. The only module that writes.

A file appears whole or not at all: its bytes are serialised in memory, written under a temporary name in the same folder,
flushed to disk and renamed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from naswot_ray.dataset import layout
from naswot_ray.errors import DatasetError

STALE_SECONDS = 15 * 60
"""Age from which a temporary file is taken for the leftover of a killed process: writing one takes seconds."""


@dataclass(frozen=True, order=True, slots=True)
class StoredFile:
    """A file in a listing.

    Attributes:
        path: relative to the root.
        size: bytes.
    """

    path: PurePosixPath
    size: int


class Storage:
    """A dataset's root folder on the local disk; relative paths are `layout` paths.

    Args:
        root: a path, or a `file://` URI.

    Raises:
        DatasetError: the root is a URI of another kind, or a file.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        text = os.fspath(root)
        if "://" in text and not text.startswith("file://"):
            raise DatasetError(f"{text}: only local paths and file:// URIs are supported")
        # pyarrow.fs throughout for reading, so that other file systems can come in here.
        self.filesystem: fs.FileSystem = fs.LocalFileSystem()
        self.root = Path(unquote(urlsplit(text).path) if text.startswith("file://") else text).absolute()
        if self.root.exists() and not self.root.is_dir():
            raise DatasetError(f"{self.root} is a file; a dataset is a directory")

    def path(self, relative: PurePosixPath) -> str:
        """The absolute path of a file in the dataset."""
        return str(self.root / relative)

    def exists(self, relative: PurePosixPath) -> bool:
        """Whether there is a file or folder."""
        info: fs.FileInfo = self.filesystem.get_file_info(self.path(relative))
        return bool(info.type != fs.FileType.NotFound)

    def is_empty(self) -> bool:
        """Whether nothing has been written under the root yet."""
        return not self.root.exists() or not any(self.root.iterdir())

    def list_names(self, folder: PurePosixPath) -> list[str]:
        """Sorted names of the files in a folder; empty if there is no such folder."""
        selector = fs.FileSelector(self.path(folder), allow_not_found=True)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector) if info.is_file)

    def list_files(self, folder: PurePosixPath, *, recursive: bool = False) -> list[StoredFile]:
        """The files in a folder, sorted; empty if there is no such folder."""
        selector = fs.FileSelector(self.path(folder), allow_not_found=True, recursive=recursive)
        found = (info for info in self.filesystem.get_file_info(selector) if info.is_file)
        return sorted(StoredFile(PurePosixPath(os.path.relpath(info.path, self.root)), info.size) for info in found)

    def remove(self, relative: PurePosixPath) -> None:
        """Remove a file."""
        (self.root / relative).unlink()

    def take_notes(self) -> tuple[str, ...]:
        """What an operator should know of, since the last call."""
        return ()

    @contextlib.contextmanager
    def locked(self, relative: PurePosixPath) -> Iterator[None]:
        """Keep other processes from changing a file."""
        folder = (self.root / relative).parent
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def read_bytes(self, relative: PurePosixPath) -> bytes:
        """A whole file.

        Raises:
            DatasetError: it cannot be read.
        """
        try:
            with self.filesystem.open_input_stream(self.path(relative)) as stream:
                return bytes(stream.read())
        except OSError as error:
            raise DatasetError(f"cannot read {self.path(relative)}: {error}") from error

    @contextlib.contextmanager
    def open_parquet(self, relative: PurePosixPath) -> Iterator[pq.ParquetFile]:
        """A Parquet file, its footer read; the pages' checksums are verified as they are read.

        Raises:
            DatasetError: not a Parquet file, truncated or damaged; the message says how to replace it.
        """
        path = self.path(relative)
        try:
            with pq.ParquetFile(path, filesystem=self.filesystem, page_checksum_verification=True) as file:
                yield file
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:  # a damaged footer can fail in any of these ways
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise DatasetError(
                f"{path} is not a whole Parquet file ({reason}); move it away and run the same command again to replace it"
            ) from error

    def write_table(self, relative: PurePosixPath, table: pa.Table) -> int:
        """Write a table as one Parquet file, replacing what is there in one step.

        Raises:
            DatasetError: the disk is full or the folder cannot be written; what was there before is untouched.
        """
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        data = sink.getvalue()
        self.write_bytes(relative, data)
        return int(data.size)

    def write_bytes(self, relative: PurePosixPath, data: bytes | pa.Buffer) -> None:
        """Write a file, replacing what is there in one step.

        Raises:
            DatasetError: as `write_table`.
        """
        path = self.root / relative
        temporary = self.root / layout.temporary(relative, secrets.token_hex(8))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            _sync_folder(path.parent)
        except OSError as error:
            raise DatasetError(
                f"cannot write {path}: {error.strerror}; free space or correct the permissions, then run the same command "
                "again: everything written before is kept"
            ) from error

    def sweep_temporaries(self) -> None:
        """Remove the temporary files that killed processes left behind."""
        horizon = time.time() - STALE_SECONDS
        for path in self.root.rglob(".*.tmp"):
            with contextlib.suppress(OSError):
                if layout.is_temporary(path.name) and path.stat().st_mtime < horizon:
                    path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
