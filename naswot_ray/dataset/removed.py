"""`removed/`: files that were taken out of a dataset because they cannot be trusted, until someone says that they may go.

    removed/20260101T000000-1a2b3c4d/record.json
    removed/20260101T000000-1a2b3c4d/scores/part-nasbench201.cifar10.batch-128.seed-0.000042.parquet

The record tells of each file where it lay, why it was taken out, and its SHA-256. No reader looks into the folder.
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
    """Move files to `removed/`. Whoever is killed meanwhile leaves each of them in its place, in `removed/`, or in both.

    Args:
        storage: the dataset.
        files: path -> why.
        by: who does it: a run's id, or a command.

    Returns:
        the folder that they lie in now.

    Raises:
        DatasetError: one cannot be read, written or removed.
    """
    now = datetime.now(UTC)
    folder = layout.removed(f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}")
    entries = []
    for path, reason in files.items():
        data = storage.read_bytes(path)
        storage.write_bytes(folder / path, data)
        entries.append({"path": str(path), "reason": reason, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    record = {"by": by, "time": now.isoformat(timespec="seconds"), "files": entries}
    storage.write_bytes(folder / layout.REMOVED_RECORD, (json.dumps(record, indent=2) + "\n").encode())
    for path in files:
        storage.remove(path)
    return folder


def list_removed(storage: Storage) -> list[StoredFile]:
    """The files that have been taken out, without the records of that.

    Raises:
        DatasetError: the storage cannot be asked.
    """
    found = storage.list_files(layout.REMOVED, recursive=True)
    return [file for file in found if not (len(file.path.parts) == 3 and file.path.name == layout.REMOVED_RECORD)]


def purge(storage: Storage) -> list[StoredFile]:
    """Delete `removed/` with all that is in it.

    Returns:
        the files that it held.

    Raises:
        DatasetError: one cannot be deleted.
    """
    found = list_removed(storage)
    storage.remove_folder(layout.REMOVED)
    return found
