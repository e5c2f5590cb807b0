"""Parts: the files that hold the rows of one shard each.

New rows are merged with those of an existing part, and the part is written whole, in the shard's order. Its footer records how
many rows failed, which measures it holds in which version, and the fingerprint of the settings that its rows depend on. A part
that is not what it should be is never merged with new rows. It is kept in `removed/` (`removed_files`), and its rows are
computed again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from naswot_ray.dataset import layout, removed_files, schema, seal
from naswot_ray.dataset.rows import TableRow, merged, parse_errors, status_of
from naswot_ray.dataset.schema import SCHEMA_VERSION, STATUS_FAILED
from naswot_ray.dataset.seal import BrokenSealError
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError

VERSION_KEY: Final = b"naswot_ray.schema_version"
NUM_FAILED_KEY: Final = b"naswot_ray.num_failed"
"""A key of a part's metadata: how many rows failed or have a measure that failed."""
MEASURES_KEY: Final = b"naswot_ray.measures"
"""A key of a part's metadata. Its value is JSON: measure -> [its version, how many rows lack it], for each measure that at
least one row has a value of."""
FINGERPRINT_KEY: Final = b"naswot_ray.fingerprint"


class UntrustedPartError(DatasetError):
    """A part is not what a run would have written there.

    Attributes:
        reason: what is wrong, worded to follow the part's name.
    """

    def __init__(self, storage: Storage, path: PurePosixPath, reason: str) -> None:
        super().__init__(f"{storage.path(path)} {reason}; {storage.remedy}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PartState:
    """Which rows and values a part holds. Rows are given as positions in the space.

    Attributes:
        present: `arch_index` of every row; a range if the part is complete.
        failed: the rows whose status is `failed`.
        lacking: measure -> the rows that have neither a value of it nor an error. A measure that is not a key here has a value
            in no row, in the version that the dataset holds.
        failed_alone: measure -> the rows that have an error instead of a value of it. Measures without such rows are left out.
        older: measure -> its version in the part, if that is older than the dataset's. Its values count as lacking.
        digest: the digest in the file's seal.
    """

    present: Collection[int] = range(0)
    failed: frozenset[int] = frozenset()
    lacking: Mapping[str, frozenset[int]] = field(default_factory=dict)
    failed_alone: Mapping[str, frozenset[int]] = field(default_factory=dict)
    older: Mapping[str, int] = field(default_factory=dict)
    digest: str = field(default="", compare=False)

    def is_whole(self, full_range: range, measures: Iterable[str]) -> bool:
        """Whether every row of the shard exists with a value of every given measure, and nothing failed."""
        return (
            self.present == full_range
            and not self.failed
            and not self.failed_alone
            and all(self.lacking.get(name, full_range) == frozenset() for name in measures)
        )

    def needs(self, index: int, measures: Iterable[str], *, retry_failed: bool = False) -> tuple[str, ...] | None:
        """Which measures of a row still have to be computed.

        Args:
            index: position of the row, which need not exist.
            measures: the measures that are wanted; none for the architectures table.
            retry_failed: whether to compute again what failed.

        Returns:
            the measures to compute, which are all of them if the row does not exist. None if there is nothing to do.
        """
        if index not in self.present or (retry_failed and index in self.failed):
            return tuple(measures)
        if index in self.failed:
            return None
        needed = [
            name
            for name in measures
            if name not in self.lacking
            or index in self.lacking[name]
            or (retry_failed and index in self.failed_alone.get(name, ()))
        ]
        return tuple(needed) or None

    def has(self, index: int, measures: Iterable[str]) -> bool:
        """Whether a row exists and nothing is left to compute for the given measures."""
        return self.needs(index, measures) is None

    def has_failed(self, index: int, measures: Iterable[str]) -> bool:
        """Whether an existing row failed, or one of the given measures failed in it."""
        return index in self.failed or any(index in self.failed_alone.get(name, ()) for name in measures)


@dataclass(frozen=True, slots=True)
class Expected:
    """The properties that a part must have to be trusted.

    Attributes:
        path: the part's path.
        full_range: the positions that it holds when it is complete.
        fingerprint: the fingerprint of the settings that its rows depend on.
        measures: name -> version of the measures that the dataset has columns of; empty for the architectures table.
    """

    path: PurePosixPath
    full_range: range
    fingerprint: str
    measures: Mapping[str, int] = field(default_factory=dict)

    @property
    def columns(self) -> pa.Schema:
        """The columns of its table."""
        return schema.schema_of(self.path.parts[0], self.measures)


def inspect(storage: Storage, expected: Expected) -> PartState:
    """Verify a part and determine which rows it holds.

    All its bytes are verified. Its rows are read only if the footer does not say that the part is complete.

    Args:
        storage: the dataset.
        expected: the properties of the part, which must exist.

    Raises:
        UntrustedPartError: it is not what was written there, or has other columns, settings or rows than expected.
        DatasetError: it cannot be read.
    """
    try:
        with storage.open_parquet(expected.path) as file:
            metadata = file.metadata.metadata
            digest = metadata[seal.DIGEST_KEY].decode()
            told = _told_measures(metadata)
            if not _has_columns(file.schema_arrow, expected, told):
                raise UntrustedPartError(storage, expected.path, "has other columns than this version writes")
            if metadata.get(FINGERPRINT_KEY, b"").decode() != expected.fingerprint:
                reason = "was written under other settings of its space, images, weights or batches"
                raise UntrustedPartError(storage, expected.path, reason)
            belongs = _belongs(file.metadata, expected)
            num_failed = int(metadata.get(NUM_FAILED_KEY, b"-1"))
            columns = file.schema_arrow.names
            held = [n for n, (version, _) in told.items() if n in columns and expected.measures.get(n) == version]
            older = {name: version for name, (version, _) in told.items() if version < expected.measures.get(name, 0)}
            if (
                belongs
                and file.metadata.num_rows == len(expected.full_range)
                and num_failed == 0
                and all(told[name][1] == 0 for name in held)
            ):
                return PartState(expected.full_range, lacking=dict.fromkeys(held, frozenset()), older=older, digest=digest)
            table = file.read(columns=["arch_index", "status", "error", *held])
    except BrokenSealError as error:
        raise UntrustedPartError(storage, expected.path, error.reason) from None
    present = table["arch_index"].to_pylist()
    if not belongs or len(set(present)) != len(present) or not set(present) <= set(expected.full_range):
        reason = (
            f"holds rows that do not belong to it (expected arch_index {expected.full_range.start}.."
            f"{expected.full_range.stop - 1}, each once, and the values in its name)"
        )
        raise UntrustedPartError(storage, expected.path, reason)
    return replace(_state(table, expected.full_range, held), older=older, digest=digest)


def measure_versions(storage: Storage, path: PurePosixPath) -> dict[str, int]:
    """Measure -> version of the values that a part holds. Only the footer is read, and the part is not verified.

    Raises:
        OSError, ArrowException: it cannot be read.
    """
    with storage.filesystem.open_input_file(storage.inner_path(path)) as file:
        told = _told_measures(pq.read_metadata(file).metadata or {})
    return {name: version for name, (version, _) in told.items()}


def trusted_state(storage: Storage, expected: Expected, run_id: str) -> PartState | None:
    """Determine which rows a part holds before a run writes to it.

    If the part cannot be trusted, the run is going to overwrite it. So it is copied to `removed/`, and a note says so.

    Args:
        storage: the dataset.
        expected: the properties of the part, which need not exist.
        run_id: the run that is going to write.

    Returns:
        the part's state; None if it does not exist or cannot be trusted.

    Raises:
        DatasetError: the part cannot be read or copied.
    """
    if not storage.exists(expected.path):
        return None
    try:
        return inspect(storage, expected)
    except UntrustedPartError as error:
        folder = removed_files.keep_copy(storage, expected.path, error.reason, run_id=run_id)
        storage.note(f"{expected.path} {error.reason}: moved to {folder}; the rows that this run asks for are computed again")
        return None


def count_statuses(storage: Storage, path: PurePosixPath, run_id: str, indices: Collection[int]) -> Counter[str]:
    """Count, by status, which of the given rows of a part a run has written.

    Args:
        storage: the dataset.
        path: the part's path; it need not exist.
        run_id: the run.
        indices: positions of the rows in the space.

    Raises:
        DatasetError: the part is damaged.
    """
    if not indices or not storage.exists(path):
        return Counter()
    with storage.open_parquet(path) as file:
        table = file.read(columns=["arch_index", "status", "run_id"])
    mine = pc.and_(pc.equal(table["run_id"], run_id), pc.is_in(table["arch_index"], pa.array(indices, pa.int32())))
    return Counter(table.filter(mine)["status"].to_pylist())


def read_versions(storage: Storage, path: PurePosixPath) -> dict[str, int]:
    """Measure -> version of the values that a part holds. The part is verified.

    Raises:
        DatasetError: the part is damaged, or cannot be read.
    """
    with storage.open_parquet(path) as file:
        return {name: version for name, (version, _) in (_told_measures(file.metadata.metadata) or {}).items()}


def write(storage: Storage, expected: Expected, rows: Sequence[TableRow], *, run_id: str, wanted: Collection[str] = ()) -> None:
    """Write rows to a part in one step, merged with the rows that it holds.

    Where a row with the same `arch_index` exists, only its missing values are filled in. An existing value is never replaced,
    and a failed row never replaces one with values. So a part only ever gets better, whoever writes it and in what order. A
    part that cannot be trusted is overwritten after it has been copied to `removed/`.

    Args:
        storage: the dataset.
        expected: the properties of the part, which need not exist.
        rows: rows of the part's table.
        run_id: the run that writes.
        wanted: the measures that the rows were computed for. In a failed row these are the measures that failed.

    Raises:
        DatasetError: the existing part cannot be read, holds a newer version of a measure, or writing failed.
    """
    path = expected.path
    with storage.locked(path):
        before = _read_trusted(storage, expected, run_id)
        measures = dict(expected.measures)
        if before is not None:
            _refuse_newer(storage, path, before, measures)
            # Another run may have added a measure that this one does not know.
            measures |= {name: version for name, (version, _) in _told(before).items() if name not in measures}
        columns = schema.schema_of(path.parts[0], measures)
        table = pa.Table.from_pylist([dict(row.columns()) for row in rows], schema=columns)
        if before is not None:
            table = _merge(_with_columns(before, columns, measures), table, tuple(measures), wanted)
        _write_table(storage, path, table.sort_by("arch_index"), measures, expected.fingerprint)


def _refuse_newer(storage: Storage, path: PurePosixPath, before: pa.Table, measures: Mapping[str, int]) -> None:
    """Keep a run of an older program from dropping the values that a newer one has written meanwhile."""
    for name, (version, _) in _told(before).items():
        if version > measures.get(name, version):
            raise DatasetError(
                f"{storage.path(path)} holds version {version} of {name}, this run computes version {measures[name]}: another "
                "run has replaced it; run the newer program"
            )


def renew(storage: Storage, expected: Expected, *, run_id: str) -> None:
    """Add columns to a part for measures that are new in the dataset, and drop values of older versions.

    Common readers assume that all files of a folder have the columns of the first, and they ignore versions. Before values are
    dropped, the part is copied to `removed/`. Rows that have no other values are dropped too.

    Args:
        storage: the dataset.
        expected: the properties of the part. A part that does not exist, or cannot be trusted, is left alone.
        run_id: the run that asks for it.

    Raises:
        DatasetError: the part cannot be read or written.
    """
    path = expected.path
    with storage.locked(path):
        if not storage.exists(path):
            return
        try:
            inspect(storage, expected)
        except UntrustedPartError:
            return
        with storage.open_parquet(path) as file:
            table = file.read()
        told = _told(table)
        older = [name for name, version in expected.measures.items() if name in told and told[name][0] < version]
        if not older and set(expected.columns.names) <= set(table.column_names):
            return
        measures = {name: version for name, (version, _) in told.items()} | dict(expected.measures)
        table = _with_columns(table, schema.schema_of(path.parts[0], measures), measures)
        if older:
            removed_files.keep_copy(storage, path, f"holds {', '.join(older)} of an older version", run_id=run_id)
            table = _with_new_status(table, tuple(measures))
        _write_table(storage, path, table, measures, expected.fingerprint)


def _with_new_status(table: pa.Table, measures: Sequence[str]) -> pa.Table:
    """Update the status of rows after values have been dropped. Rows without any value left are dropped."""
    rows = []
    for row in table.to_pylist():
        status = status_of(row[name] for name in measures)
        if status != STATUS_FAILED or row["status"] == STATUS_FAILED:
            rows.append(row | {"status": status})
    return pa.Table.from_pylist(rows, schema=table.schema)


def _read_trusted(storage: Storage, expected: Expected, run_id: str) -> pa.Table | None:
    if trusted_state(storage, expected, run_id) is None:
        return None
    with storage.open_parquet(expected.path) as file:
        return file.read()


def _write_table(storage: Storage, path: PurePosixPath, table: pa.Table, measures: Mapping[str, int], fingerprint: str) -> None:
    state = _state(table, range(0), measures)
    lacking = {
        name: [version, len(state.lacking[name])]
        for name, version in measures.items()
        if table[name].null_count < table.num_rows or name in state.failed_alone
    }
    metadata = {
        VERSION_KEY: SCHEMA_VERSION,
        NUM_FAILED_KEY: str(len(state.failed.union(*state.failed_alone.values()))),
        MEASURES_KEY: json.dumps(lacking),
        FINGERPRINT_KEY: fingerprint,
    }
    storage.write_table(path, table.combine_chunks().replace_schema_metadata(metadata))


def _with_columns(table: pa.Table, columns: pa.Schema, measures: Mapping[str, int]) -> pa.Table:
    """A part's rows with the given columns. A column that it lacks, or has in another version of the measure, is null."""
    told = _told(table)
    outdated = {name for name, version in measures.items() if name in told and told[name][0] != version}
    kept = set(table.column_names) - outdated
    arrays = [table[field.name] if field.name in kept else pa.nulls(len(table), field.type) for field in columns]
    return pa.table(arrays, schema=columns)


def _told(table: pa.Table) -> dict[str, tuple[int, int]]:
    return _told_measures(table.schema.metadata or {})


def _told_measures(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[int, int]]:
    """Measure -> its version and how many rows lack it, according to the footer. Measures not named there do not count."""
    try:
        told = json.loads(metadata.get(MEASURES_KEY, b"{}"))
        return {str(name): (int(version), int(lacking)) for name, (version, lacking) in told.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _has_columns(found: pa.Schema, expected: Expected, told: Mapping[str, tuple[int, int]]) -> bool:
    """Whether a part has the columns of its table. It may lack measures, and have some that `expected` does not know."""
    measures = [name for name in found.names if name in expected.measures or name in told]
    table = expected.path.parts[0]
    wanted = schema.schema_of(table, measures if table == layout.SCORES.name else ())
    return sorted(map(str, found.remove_metadata())) == sorted(map(str, wanted))


def _merge(before: pa.Table, new: pa.Table, measures: Collection[str], wanted: Collection[str]) -> pa.Table:
    both = pc.is_in(new["arch_index"], before["arch_index"].combine_chunks())
    again = new.filter(both)["arch_index"].combine_chunks()
    old_rows = {row["arch_index"]: row for row in before.filter(pc.is_in(before["arch_index"], again)).to_pylist()}
    rows = [_merged(old_rows[row["arch_index"]], row, measures, wanted) for row in new.filter(both).to_pylist()]
    kept = before.filter(pc.invert(pc.is_in(before["arch_index"], again)))
    return pa.concat_tables([kept, new.filter(pc.invert(both)), pa.Table.from_pylist(rows, schema=new.schema)])


def _merged(
    old: Mapping[str, Any], new: Mapping[str, Any], measures: Collection[str], wanted: Collection[str]
) -> Mapping[str, Any]:
    if "run_id" in old:
        return merged(old, new, measures, wanted)
    return old if new["status"] == STATUS_FAILED and old["status"] != STATUS_FAILED else new


def _state(table: pa.Table, full_range: range, measures: Iterable[str]) -> PartState:
    indices = table["arch_index"].to_pylist()
    failed_rows = pc.equal(table["status"], STATUS_FAILED)
    failed = frozenset(table.filter(failed_rows)["arch_index"].to_pylist())
    names = tuple(measures)
    told: dict[str, set[int]] = {name: set() for name in names}
    erring = table.filter(pc.and_(pc.is_valid(table["error"]), pc.invert(failed_rows)))
    for index, error in zip(erring["arch_index"].to_pylist(), erring["error"].to_pylist(), strict=True):
        for name in parse_errors(error, names):
            told[name].add(index)
    lacking = {
        name: frozenset(table.filter(pc.is_null(table[name]))["arch_index"].to_pylist()) - failed - told[name] for name in names
    }
    present = full_range if len(indices) == len(full_range) else frozenset(indices)
    failed_alone = {name: frozenset(rows) for name, rows in told.items() if rows}
    return PartState(present, failed, lacking, failed_alone)


def _belongs(metadata: pq.FileMetaData, expected: Expected) -> bool:
    """Whether the minima and maxima in the footer allow the rows to belong to this part."""
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
