"""Receipts: what drivers were told of the parts that were written, so that a resume need not open each of them.

A receipt holds as long as the part has the size that it tells; a part without one is looked into. So the files may be deleted
at any time, and a driver that is killed before it writes its last ones costs the next run some reading, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

import pyarrow as pa

from naswot_ray.dataset import layout
from naswot_ray.dataset.parts import PartState, WrittenPart
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError

PARTS_PER_FILE = 2_000
"""Receipts in one file: few files to read, and few receipts lost with a driver."""

_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("stop", pa.int32(), nullable=False),
        pa.field("present", pa.list_(pa.int32())),  # null: all from start to stop
        pa.field("failed", pa.list_(pa.int32())),  # null: none
    ]
)


class ReceiptLog:
    """Collects the receipts of a run and writes them, a file for every `PARTS_PER_FILE`.

    Args:
        storage: the dataset.
        run_id: of the run.
    """

    def __init__(self, storage: Storage, run_id: str) -> None:
        self._storage = storage
        self._run_id = run_id
        self._waiting: dict[PurePosixPath, WrittenPart] = {}
        self._num_files = 0

    def add(self, part: WrittenPart) -> None:
        """Keep a receipt.

        Raises:
            DatasetError: the collected receipts cannot be written.
        """
        self._waiting[part.path] = part
        if len(self._waiting) >= PARTS_PER_FILE:
            self.flush()

    def flush(self) -> None:
        """Write what has been collected.

        Raises:
            DatasetError: it cannot be written.
        """
        if not self._waiting:
            return
        rows = [_row(part) for part in self._waiting.values()]
        path = layout.receipts(self._run_id, self._num_files)
        self._storage.write_table(path, pa.Table.from_pylist(rows, schema=_SCHEMA))
        self._num_files += 1
        self._waiting.clear()


def read_all(storage: Storage) -> dict[PurePosixPath, WrittenPart]:
    """The last receipt of every part. A receipt file that is damaged is passed over."""
    found: dict[PurePosixPath, WrittenPart] = {}
    for file in storage.list_files(layout.RECEIPTS):  # run ids begin with the time, so these come oldest first
        if not layout.is_receipts(file.path):
            continue
        try:
            found.update((part.path, part) for part in _read(storage, file.path))
        except DatasetError:
            continue
    return found


def _row(part: WrittenPart) -> dict[str, object]:
    present, failed = part.state.present, part.state.failed
    complete = isinstance(present, range)
    return {
        "path": str(part.path),
        "size": part.size,
        "start": present.start if isinstance(present, range) else 0,
        "stop": present.stop if isinstance(present, range) else 0,
        "present": None if complete else sorted(present),
        "failed": sorted(failed) if failed else None,
    }


def _read(storage: Storage, path: PurePosixPath) -> Iterator[WrittenPart]:
    with storage.open_parquet(path) as file:
        table = file.read()
    if table.schema.remove_metadata() != _SCHEMA:
        return
    for part, size, start, stop, present, failed in zip(*(c.to_pylist() for c in table.columns), strict=True):
        state = PartState(range(start, stop) if present is None else frozenset(present), frozenset(failed or ()))
        yield WrittenPart(PurePosixPath(part), size, state)
