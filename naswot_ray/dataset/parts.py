"""Parts: the files of one shard's rows. Written whole, merged with what is there, in the shard's order.

A part's footer tells how many of its rows failed and the fingerprint of the settings that its rows depend on. A part that is
not what it should be is never merged with new rows: it is set aside (`removed`), and its rows are computed again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from naswot_ray.dataset import layout, removed, schema, seal
from naswot_ray.dataset.schema import SCHEMA_VERSION, STATUS_FAILED
from naswot_ray.dataset.seal import BrokenSealError
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError

VERSION_KEY: Final = b"naswot_ray.schema_version"
NUM_FAILED_KEY: Final = b"naswot_ray.num_failed"
FINGERPRINT_KEY: Final = b"naswot_ray.fingerprint"


class UntrustedPartError(DatasetError):
    """A part is not what a run would have written there.

    Attributes:
        reason: what is wrong, to be read after the part's name.
    """

    def __init__(self, storage: Storage, path: PurePosixPath, reason: str) -> None:
        super().__init__(f"{storage.path(path)} {reason}; {storage.remedy}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PartState:
    """Which rows a part holds, as positions in the space.

    Attributes:
        present: `arch_index` of every row; a range where the part is complete.
        failed: those whose status is `failed`.
        digest: of the file's seal.
    """

    present: Collection[int] = range(0)
    failed: frozenset[int] = frozenset()
    digest: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a part must be, to be believed.

    Attributes:
        path: of the part.
        full_range: the positions that it holds when it is complete.
        fingerprint: of the settings that its rows depend on.
    """

    path: PurePosixPath
    full_range: range
    fingerprint: str

    @property
    def columns(self) -> pa.Schema:
        """Of its table."""
        return schema.TABLES[self.path.parts[0]]


def inspect(storage: Storage, expected: Expected) -> PartState:
    """Which rows a part holds. All its bytes are verified; its rows are looked at unless its footer tells.

    Args:
        storage: the dataset.
        expected: of an existing part.

    Raises:
        UntrustedPartError: it is not what was written there, or has other columns, settings or rows.
        DatasetError: it cannot be read.
    """
    try:
        with storage.open_parquet(expected.path) as file:
            metadata = file.metadata.metadata
            digest = metadata[seal.DIGEST_KEY].decode()
            if file.schema_arrow.remove_metadata() != expected.columns:
                raise UntrustedPartError(storage, expected.path, "has other columns than this version writes")
            if metadata.get(FINGERPRINT_KEY, b"").decode() != expected.fingerprint:
                reason = "was written under other settings of its space, images, weights or batches"
                raise UntrustedPartError(storage, expected.path, reason)
            belongs = _belongs(file.metadata, expected)
            num_failed = int(metadata.get(NUM_FAILED_KEY, b"-1"))
            if belongs and file.metadata.num_rows == len(expected.full_range) and num_failed == 0:
                return PartState(expected.full_range, digest=digest)
            table = file.read(columns=["arch_index", "status"])
    except BrokenSealError as error:
        raise UntrustedPartError(storage, expected.path, error.reason) from None
    present = table["arch_index"].to_pylist()
    if not belongs or len(set(present)) != len(present) or not set(present) <= set(expected.full_range):
        reason = (
            f"holds rows that do not belong to it (expected arch_index {expected.full_range.start}.."
            f"{expected.full_range.stop - 1}, each once, and the values that its name tells)"
        )
        raise UntrustedPartError(storage, expected.path, reason)
    return _state(table, expected.full_range, digest)


def trusted_state(storage: Storage, expected: Expected, run_id: str) -> PartState | None:
    """Which rows a part holds that need not be computed. One that cannot be trusted is copied to `removed/`, and noted: the run
    that asks is going to overwrite it.

    Args:
        storage: the dataset.
        expected: of the part.
        run_id: of the run that asks.

    Returns:
        None if there is no part, or none to be trusted.

    Raises:
        DatasetError: the part cannot be read or copied.
    """
    if not storage.exists(expected.path):
        return None
    try:
        return inspect(storage, expected)
    except UntrustedPartError as error:
        folder = removed.keep_copy(storage, expected.path, error.reason, run_id=run_id)
        storage.note(f"{expected.path} {error.reason}: moved to {folder}, and the rows that this run asks for are scored again")
        return None


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


def write(storage: Storage, expected: Expected, rows: Sequence[Mapping[str, Any]], *, run_id: str) -> None:
    """Add rows to a part, or replace those with the same `arch_index`, in one step.

    A score is never replaced by a `failed` row, so that a part only ever gets better, whoever writes it and in what order. A
    part that is there and cannot be trusted is overwritten, once `removed/` has it.

    Args:
        storage: the dataset.
        expected: of the part, which need not exist.
        rows: column -> value, all columns of the table.
        run_id: of the run that writes.

    Raises:
        DatasetError: the part that is there cannot be read, or writing failed.
    """
    path, columns = expected.path, expected.columns
    table = pa.Table.from_pylist(list(rows), schema=columns)
    with storage.locked(path):
        is_final = table.num_rows == len(expected.full_range) and not _num_failed(table)
        if not is_final and trusted_state(storage, expected, run_id) is not None:
            with storage.open_parquet(path) as file:
                table = _merge(file.read(columns=columns.names).cast(columns), table)
        table = table.sort_by("arch_index").combine_chunks()
        metadata = {
            VERSION_KEY: SCHEMA_VERSION,
            NUM_FAILED_KEY: str(_num_failed(table)),
            FINGERPRINT_KEY: expected.fingerprint,
        }
        storage.write_table(path, table.replace_schema_metadata(metadata))


def _merge(before: pa.Table, new: pa.Table) -> pa.Table:
    scored = before.filter(pc.not_equal(before["status"], STATUS_FAILED))["arch_index"]
    useless = pc.and_(pc.equal(new["status"], STATUS_FAILED), pc.is_in(new["arch_index"], scored.combine_chunks()))
    new = new.filter(pc.invert(useless))
    kept = before.filter(pc.invert(pc.is_in(before["arch_index"], new["arch_index"].combine_chunks())))
    return pa.concat_tables([kept, new])


def _num_failed(table: pa.Table) -> int:
    return pc.sum(pc.equal(table["status"], STATUS_FAILED)).as_py() or 0


def _state(table: pa.Table, full_range: range, digest: str) -> PartState:
    failed = frozenset(table.filter(pc.equal(table["status"], STATUS_FAILED))["arch_index"].to_pylist())
    if table.num_rows == len(full_range):
        return PartState(full_range, failed, digest)
    return PartState(frozenset(table["arch_index"].to_pylist()), failed, digest)


def _belongs(metadata: pq.FileMetaData, expected: Expected) -> bool:
    """Whether the rows can be those of this part, by the minima and maxima in the footer."""
    file, full_range = layout.table_file(expected.path), expected.full_range
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
