"""Parts: the files of one shard's rows. Written whole, merged with what is there, in the shard's order.

A part's footer tells its number of rows, how many of them failed, the digest of its content and the fingerprint of the settings
that its rows depend on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from naswot_ray.dataset import layout
from naswot_ray.dataset.digest import content_digest
from naswot_ray.dataset.schema import SCHEMA_VERSION, STATUS_FAILED
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError

VERSION_KEY: Final = b"naswot_ray.schema_version"
NUM_ROWS_KEY: Final = b"naswot_ray.num_rows"
NUM_FAILED_KEY: Final = b"naswot_ray.num_failed"
DIGEST_KEY: Final = b"naswot_ray.content_digest"
FINGERPRINT_KEY: Final = b"naswot_ray.fingerprint"


@dataclass(frozen=True, slots=True)
class PartState:
    """Which rows a part holds, as positions in the space.

    Attributes:
        present: `arch_index` of every row; a range where the part is complete.
        failed: those whose status is `failed`.
    """

    present: Collection[int] = range(0)
    failed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A part as it was when it was written.

    Attributes:
        path: of the part.
        size: of the file, bytes.
        state: the rows it holds.
    """

    path: PurePosixPath
    size: int
    state: PartState


def inspect(storage: Storage, path: PurePosixPath, full_range: range) -> PartState:
    """Which rows a part holds; only its footer is read where that tells.

    Args:
        storage: the dataset.
        path: of an existing part.
        full_range: the positions that a complete part holds.

    Raises:
        DatasetError: damaged, or its rows do not belong here.
    """
    with storage.open_parquet(path) as file:
        num_rows = file.metadata.num_rows
        num_failed = int((file.schema_arrow.metadata or {}).get(NUM_FAILED_KEY, b"-1"))
        belongs = _belongs(file.metadata, path, full_range)
        if belongs and num_rows == len(full_range) and num_failed == 0:
            return PartState(full_range)
        table = file.read(columns=["arch_index", "status"]).select(["arch_index", "status"])
    present = table["arch_index"].to_pylist()
    if not belongs or len(set(present)) != len(present) or not set(present) <= set(full_range):
        raise DatasetError(
            f"{storage.path(path)} holds rows that do not belong to it (expected arch_index {full_range.start}.."
            f"{full_range.stop - 1}, each once, and the values that its name tells); move it away and run the same "
            "command again"
        )
    return _state(table, full_range)


def count_statuses(storage: Storage, path: PurePosixPath, run_id: str, indices: Collection[int]) -> Counter[str]:
    """How many of some rows of a part a run has written, by status.

    Args:
        storage: the dataset.
        path: of the part; need not exist.
        run_id: of the run.
        indices: positions in the space.

    Raises:
        DatasetError: the part is damaged.
    """
    if not indices or not storage.exists(path):
        return Counter()
    with storage.open_parquet(path) as file:
        table = file.read(columns=["arch_index", "status", "run_id"])
    mine = pc.and_(pc.equal(table["run_id"], run_id), pc.is_in(table["arch_index"], pa.array(indices, pa.int32())))
    return Counter(table.filter(mine)["status"].to_pylist())


def write(
    storage: Storage,
    path: PurePosixPath,
    schema: pa.Schema,
    rows: Sequence[Mapping[str, Any]],
    *,
    full_range: range,
    fingerprint: str,
) -> WrittenPart:
    """Add rows to a part, or replace those with the same `arch_index`, in one step.

    A score is never replaced by a `failed` row, so that a part only ever gets better, whoever writes it and in what order.

    Args:
        storage: the dataset.
        path: of the part; need not exist.
        schema: of the table.
        rows: column -> value, all columns of the schema.
        full_range: the positions that a complete part holds.
        fingerprint: of the settings that the rows depend on.

    Raises:
        DatasetError: the part that is there is damaged, or writing failed.
    """
    table = pa.Table.from_pylist(list(rows), schema=schema)
    with storage.locked(path):
        if (table.num_rows < len(full_range) or _num_failed(table)) and storage.exists(path):
            with storage.open_parquet(path) as file:
                table = _merge(file.read(columns=schema.names).cast(schema), table)
        table = table.sort_by("arch_index").combine_chunks()
        metadata = {
            VERSION_KEY: SCHEMA_VERSION,
            NUM_ROWS_KEY: str(table.num_rows),
            NUM_FAILED_KEY: str(_num_failed(table)),
            DIGEST_KEY: content_digest(table),
            FINGERPRINT_KEY: fingerprint,
        }
        size = storage.write_table(path, table.replace_schema_metadata(metadata))
    return WrittenPart(path, size, _state(table, full_range))


def _merge(before: pa.Table, new: pa.Table) -> pa.Table:
    scored = before.filter(pc.not_equal(before["status"], STATUS_FAILED))["arch_index"]
    useless = pc.and_(pc.equal(new["status"], STATUS_FAILED), pc.is_in(new["arch_index"], scored.combine_chunks()))
    new = new.filter(pc.invert(useless))
    kept = before.filter(pc.invert(pc.is_in(before["arch_index"], new["arch_index"].combine_chunks())))
    return pa.concat_tables([kept, new])


def _num_failed(table: pa.Table) -> int:
    return pc.sum(pc.equal(table["status"], STATUS_FAILED)).as_py() or 0


def _state(table: pa.Table, full_range: range) -> PartState:
    failed = frozenset(table.filter(pc.equal(table["status"], STATUS_FAILED))["arch_index"].to_pylist())
    if table.num_rows == len(full_range):
        return PartState(full_range, failed)
    return PartState(frozenset(table["arch_index"].to_pylist()), failed)


def _belongs(metadata: pq.FileMetaData, path: PurePosixPath, full_range: range) -> bool:
    """Whether the rows can be those of this part, by the minima and maxima in the footer."""
    file = layout.table_file(path)
    names = {} if file is None else {name: str(value) for name, value in file.key.items()}
    for position, name in enumerate(metadata.schema.names):
        if name != "arch_index" and name not in names:
            continue
        for group in range(metadata.num_row_groups):
            statistics = metadata.row_group(group).column(position).statistics
            if statistics is None or not statistics.has_min_max:
                continue
            if name == "arch_index" and not (full_range.start <= statistics.min and statistics.max < full_range.stop):
                return False
            if name in names and {str(statistics.min), str(statistics.max)} != {names[name]}:
                return False
    return True
