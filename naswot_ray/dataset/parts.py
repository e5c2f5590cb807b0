"""Parts: the files of one shard's rows. Written whole, merged with what is there, in the shard's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from naswot_ray.dataset import layout
from naswot_ray.dataset.schema import SCHEMA_VERSION, STATUS_FAILED
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError

_VERSION_KEY = b"naswot_ray.schema_version"
_FAILED_KEY = b"naswot_ray.num_failed"


@dataclass(frozen=True)
class PartState:
    """Which rows a part holds, as positions in the space.

    Attributes:
        present: `arch_index` of every row.
        failed: those whose status is `failed`.
    """

    present: frozenset[int] = frozenset()
    failed: frozenset[int] = frozenset()


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
        num_failed = int((file.schema_arrow.metadata or {}).get(_FAILED_KEY, b"-1"))
        belongs = _belongs(file.metadata, path, full_range)
        if belongs and num_rows == len(full_range) and num_failed == 0:
            return PartState(frozenset(full_range))
        table = file.read(columns=["arch_index", "status"]).select(["arch_index", "status"])
        failed = table.filter(pc.equal(table["status"], STATUS_FAILED))["arch_index"].to_pylist()
    present = table["arch_index"].to_pylist()
    if not belongs or len(set(present)) != len(present) or not set(present) <= set(full_range):
        raise DatasetError(
            f"{storage.path(path)} holds rows that do not belong to it (expected arch_index {full_range.start}.."
            f"{full_range.stop - 1}, each once, and the values that its folders are named by); move it away and run the same "
            "command again"
        )
    return PartState(frozenset(present), frozenset(failed))


def write(storage: Storage, path: PurePosixPath, schema: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows to a part, or replace those with the same `arch_index`, in one step.

    Args:
        storage: the dataset.
        path: of the part; need not exist.
        schema: of the table.
        rows: column -> value, all columns of the schema.

    Raises:
        DatasetError: the part that is there is damaged, or writing failed.
    """
    table = pa.Table.from_pylist(list(rows), schema=schema)
    if storage.exists(path):
        with storage.open_parquet(path) as file:
            before = file.read(columns=schema.names).cast(schema)
        kept = before.filter(pc.invert(pc.is_in(before["arch_index"], table["arch_index"].combine_chunks())))
        table = pa.concat_tables([kept, table])
    table = table.sort_by("arch_index").combine_chunks()
    num_failed = pc.sum(pc.equal(table["status"], STATUS_FAILED)).as_py() or 0
    metadata = {_VERSION_KEY: SCHEMA_VERSION, _FAILED_KEY: str(num_failed)}
    storage.write_table(path, table.replace_schema_metadata(metadata))


def _belongs(metadata: pq.FileMetaData, path: PurePosixPath, full_range: range) -> bool:
    """Whether the rows can be those of this part, by the minima and maxima in the footer."""
    names = layout.partition_of(path)
    for group in range(metadata.num_row_groups):
        for position in range(metadata.num_columns):
            column = metadata.row_group(group).column(position)
            name, statistics = column.path_in_schema, column.statistics
            if statistics is None or not statistics.has_min_max:
                continue
            if name == "arch_index" and not (full_range.start <= statistics.min and statistics.max < full_range.stop):
                return False
            if name in names and {str(statistics.min), str(statistics.max)} != {names[name]}:
                return False
    return True
