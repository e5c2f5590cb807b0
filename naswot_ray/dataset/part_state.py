"""The state of a part: whether the file can be trusted, which rows it holds, and what these lack."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from naswot_ray.dataset import layout, part_footer, schema, seal
from naswot_ray.dataset.part_footer import told_measures
from naswot_ray.dataset.rows import parse_errors
from naswot_ray.dataset.schema import STATUS_FAILED
from naswot_ray.dataset.seal import BrokenSealError
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError


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
            told = told_measures(metadata)
            if not _has_columns(file.schema_arrow, expected, told):
                raise UntrustedPartError(storage, expected.path, "has other columns than this version writes")
            if metadata.get(part_footer.FINGERPRINT_KEY, b"").decode() != expected.fingerprint:
                reason = "was written under other settings of its space, images, weights or batches"
                raise UntrustedPartError(storage, expected.path, reason)
            belongs = _belongs(file.metadata, expected)
            num_failed = int(metadata.get(part_footer.NUM_FAILED_KEY, b"-1"))
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
    return replace(state_of(table, expected.full_range, held), older=older, digest=digest)


def state_of(table: pa.Table, full_range: range, measures: Iterable[str]) -> PartState:
    """Determine the state of some rows from the rows themselves.

    Args:
        table: columns `arch_index`, `status`, `error` and the measures.
        full_range: the positions that a complete part holds.
        measures: the measures to look at.
    """
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


def _has_columns(found: pa.Schema, expected: Expected, told: Mapping[str, tuple[int, int]]) -> bool:
    """Whether a part has the columns of its table. It may lack measures, and have some that `expected` does not know."""
    measures = [name for name in found.names if name in expected.measures or name in told]
    table = expected.path.parts[0]
    wanted = schema.schema_of(table, measures if table == layout.SCORES.name else ())
    return sorted(map(str, found.remove_metadata())) == sorted(map(str, wanted))


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
