"""Parts: the files that hold the rows of one shard each.

New rows are merged with those of an existing part (`part_merge`), and the part is written whole, in the shard's order. Its
footer says what the part holds (`part_footer`). A part that is not what it should be (`part_state`) is never merged with new
rows. It is kept in `removed/` (`removed_files`), and its rows are computed again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from naswot_ray.dataset import layout, part_footer, removed_files, schema
from naswot_ray.dataset.part_footer import told_versions
from naswot_ray.dataset.part_merge import merge_architectures, merge_scores, with_columns, without_dropped
from naswot_ray.dataset.part_state import Expected, PartState, UntrustedPartError, inspect, state_of
from naswot_ray.dataset.rows import TableRow, parse_errors
from naswot_ray.dataset.schema import SCHEMA_VERSION, STATUS_FAILED
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError


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


def count_written(
    storage: Storage, path: PurePosixPath, run_id: str, indices: Collection[int], wanted: Collection[str]
) -> Counter[str]:
    """Count, by outcome, which of the given rows of a part a run has written.

    Args:
        storage: the dataset.
        path: the part's path; it need not exist.
        run_id: the run.
        indices: positions of the rows in the space.
        wanted: the measures that the run asks for.

    Returns:
        how many rows have each outcome, as from `write`.

    Raises:
        DatasetError: the part is damaged.
    """
    if not indices or not storage.exists(path):
        return Counter()
    with storage.open_parquet(path) as file:
        table = file.read(columns=["arch_index", "status", "error", "run_id"])
    return _outcomes(table.filter(pc.equal(table["run_id"], run_id)), indices, wanted)


def write(
    storage: Storage, expected: Expected, rows: Sequence[TableRow], *, run_id: str, wanted: Collection[str] = ()
) -> Counter[str]:
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

    Returns:
        how many of the rows have each outcome, as they are in the part now: `failed` if the row or a wanted measure of it
        failed, otherwise the row's status. A row whose new values are finite is `singular` if an earlier value is -inf.

    Raises:
        DatasetError: the existing part cannot be read, holds a newer version of a measure, or writing failed.
    """
    path = expected.path
    with storage.locked(path):
        before = _read_trusted(storage, expected, run_id)
        measures = dict(expected.measures)
        if before is not None:
            before, measures = _fitted(storage, expected, before, run_id)
        table = pa.Table.from_pylist([dict(row.columns()) for row in rows], schema=schema.schema_of(path.parts[0], measures))
        indices = table["arch_index"].to_pylist()
        if before is not None:
            is_scores = path.parts[0] == layout.SCORES.name
            table = merge_scores(before, table, measures, wanted) if is_scores else merge_architectures(before, table)
        _write_table(storage, path, table.sort_by("arch_index"), measures, expected.fingerprint)
    return _outcomes(table, indices, wanted)


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
        fitted, measures = _fitted(storage, expected, table, run_id)
        is_current = told_versions(table.schema.metadata).items() <= measures.items()
        if not (is_current and set(fitted.column_names) <= set(table.column_names)):
            _write_table(storage, path, fitted, measures, expected.fingerprint)


def _fitted(storage: Storage, expected: Expected, table: pa.Table, run_id: str) -> tuple[pa.Table, dict[str, int]]:
    """A part's rows with the columns that it is to have, and the versions of its measures.

    Values of older versions are dropped. Before that, the part is copied to `removed/`, and a note says so: the run that
    writes need not be the one that was asked to replace them, since that one may have been killed.

    Raises:
        DatasetError: the part holds a newer version of a measure, which only a newer program can have written; or it cannot be
            copied.
    """
    path, told = expected.path, told_versions(table.schema.metadata)
    for name, version in told.items():
        if version > (mine := expected.measures.get(name, version)):
            raise DatasetError(
                f"{storage.path(path)} holds version {version} of {name}, this run computes version {mine}: another run has "
                "replaced it; run the newer program"
            )
    # Another run may have added a measure that this one does not know.
    measures = {**expected.measures, **{name: version for name, version in told.items() if name not in expected.measures}}
    fitted = with_columns(table, schema.schema_of(path.parts[0], measures), measures)
    if older := [name for name, version in told.items() if version < measures[name]]:
        reason = f"holds {', '.join(older)} of an older version"
        folder = removed_files.keep_copy(storage, path, reason, run_id=run_id)
        storage.note(f"{path} {reason}: these values are dropped; {folder} holds a copy of the part")
        fitted = without_dropped(fitted, measures, older)
    return fitted, measures


def _outcomes(table: pa.Table, indices: Collection[int], wanted: Collection[str]) -> Counter[str]:
    """How many of the given rows have each outcome; see `write`."""
    rows = table.filter(pc.is_in(table["arch_index"], pa.array(indices, pa.int32())))
    return Counter(
        STATUS_FAILED if parse_errors(error, wanted) else status
        for status, error in zip(rows["status"].to_pylist(), rows["error"].to_pylist(), strict=True)
    )


def _read_trusted(storage: Storage, expected: Expected, run_id: str) -> pa.Table | None:
    if trusted_state(storage, expected, run_id) is None:
        return None
    with storage.open_parquet(expected.path) as file:
        return file.read()


def _write_table(storage: Storage, path: PurePosixPath, table: pa.Table, measures: Mapping[str, int], fingerprint: str) -> None:
    state = state_of(table, range(0), measures)
    lacking = {
        name: [version, len(state.lacking[name])]
        for name, version in measures.items()
        if table[name].null_count < table.num_rows or name in state.failed_alone
    }
    metadata = {
        part_footer.VERSION_KEY: SCHEMA_VERSION,
        part_footer.NUM_FAILED_KEY: str(len(state.failed.union(*state.failed_alone.values()))),
        part_footer.MEASURES_KEY: json.dumps(lacking),
        part_footer.FINGERPRINT_KEY: fingerprint,
    }
    storage.write_table(path, table.combine_chunks().replace_schema_metadata(metadata))
