"""The folder `removed/`: files that were taken out of a dataset because they cannot be trusted, until a user deletes them.

    removed/20260101T000000-1a2b3c4d/record.json
    removed/20260101T000000-1a2b3c4d/scores/part-nasbench201.cifar10.batch-128.seed-0.000042.parquet

The record says for each file where it was, why it was taken out, and its SHA-256. No reader looks into the folder. A run
overwrites a part that it cannot trust after copying it here. Only `check --repair` takes files out of their place.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath

from naswot_ray.dataset import layout
from naswot_ray.dataset.storage import Storage, StoredFile


def set_aside(storage: Storage, files: Mapping[PurePosixPath, str], *, by: str) -> PurePosixPath:
    """Move files to `removed/`. If this is interrupted, each file is still in its place, in `removed/`, or in both.

    Args:
        storage: the dataset.
        files: path -> why the file is moved.
        by: the command that moves them.

    Returns:
        the folder that holds them now.

    Raises:
        DatasetError: one cannot be read, written or removed.
    """
    folder = layout.removed(f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}")
    _copy(storage, folder, {path: (storage.read_bytes(path), reason) for path, reason in files.items()}, by)
    for path in files:
        storage.remove(path)
    return folder


def keep_copy(storage: Storage, path: PurePosixPath, reason: str, *, run_id: str) -> PurePosixPath:
    """Copy a file to `removed/` before a run overwrites it. The run needs no permission to delete for this.

    Args:
        storage: the dataset.
        path: the file's path.
        reason: why it cannot stay.
        run_id: the run. If it copies the same file again, the copy replaces the first one.

    Returns:
        the folder that holds the copy.

    Raises:
        DatasetError: the file cannot be read, or the copy cannot be written.
    """
    data = storage.read_bytes(path)
    digits = hashlib.sha256(f"{path} ".encode() + data).hexdigest()[:8]
    folder = layout.removed(f"{run_id}-{digits}")
    _copy(storage, folder, {path: (data, reason)}, run_id)
    return folder


def _copy(storage: Storage, folder: PurePosixPath, files: Mapping[PurePosixPath, tuple[bytes, str]], by: str) -> None:
    entries = []
    for path, (data, reason) in files.items():
        storage.write_bytes(folder / path, data)
        entries.append({"path": str(path), "reason": reason, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    record = {"by": by, "time": datetime.now(UTC).isoformat(timespec="seconds"), "files": entries}
    storage.write_bytes(folder / layout.REMOVED_RECORD, (json.dumps(record, indent=2) + "\n").encode())


def list_removed(storage: Storage) -> list[StoredFile]:
    """List the files in `removed/`, without their records.

    Raises:
        DatasetError: the storage cannot be read.
    """
    found = storage.list_files(layout.REMOVED, recursive=True)
    return [file for file in found if not (len(file.path.parts) == 3 and file.path.name == layout.REMOVED_RECORD)]


def purge(storage: Storage) -> list[StoredFile]:
    """Delete `removed/` and everything in it.

    Returns:
        the files that it held.

    Raises:
        DatasetError: one cannot be deleted.
    """
    found = list_removed(storage)
    storage.remove_folder(layout.REMOVED)
    return found
