"""The check of a dataset's files: it reads every file and reports those that are not what they should be.

Which rows are missing cannot be seen from the files, but only from the grids of the runs: see `naswot_ray.grid.coverage`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from naswot_ray.dataset import layout, names, part_footer, part_state, removed_files, runs, schema, seal
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.layout import TableFile
from naswot_ray.dataset.part_state import Expected, UntrustedPartError
from naswot_ray.dataset.seal import BrokenSealError
from naswot_ray.dataset.storage import StoredFile
from naswot_ray.errors import DatasetError

NUM_READERS: Final = 16

_FOLDERS: Final = (*map(PurePosixPath, schema.TABLES), layout.RUNS, layout.UNMATCHED)
"""The folders whose files are read. None of them contains folders."""


_AGAIN: Final = {"accuracies": "import it again with `naswot-ray accuracies`", "joined": "run `naswot-ray join` again"}
"""Table -> how to make its files again, for tables that are not made by a run."""


class Kind(StrEnum):
    """What is wrong with a file."""

    CORRUPT = "corrupt"
    """The file is cut off or damaged, or holds other rows than were written."""

    DUPLICATE = "duplicate"
    """The file holds rows that another file holds too, or holds a row twice."""

    FOREIGN = "foreign"
    """The file does not belong to the dataset, or not to this place in it. Readers skip files without the name of a table's
    file."""

    SETTINGS = "other settings"
    """The rows were computed under other settings than the dataset's."""

    OUTDATED = "outdated"
    """The joined rows are older than the rows that they were made from."""

    INCOMPLETE = "incomplete"
    """Only some of the files of a join exist."""

    UNVERIFIED = "unverified"
    """The file has no seal, so it cannot be verified."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with one file.

    Attributes:
        kind: the kind of problem.
        path: the file's path.
        reason: what is wrong, in one line.
        removable: whether the file may be moved away, because it is proved to be broken or all its rows are in another file
            that has been verified.
    """

    kind: Kind
    path: PurePosixPath
    reason: str
    removable: bool = False


def list_files(dataset: Dataset) -> list[StoredFile]:
    """List every file in the folders of a dataset, except temporary files and locks."""
    files = [file for folder in (PurePosixPath(), *_FOLDERS) for file in dataset.storage.list_files(folder)]
    return [file for file in files if not (layout.is_temporary(file.path.name) or layout.is_lock(file.path.name))]


def check_folders(dataset: Dataset) -> list[Problem]:
    """Find folders, and other things that are not files, that do not belong to a dataset. Nothing below them is read."""
    others = [path for folder in (PurePosixPath(), *_FOLDERS) for path in dataset.storage.list_others(folder)]
    known = (*_FOLDERS, layout.REMOVED)
    return [Problem(Kind.FOREIGN, path, "is not a file or folder of a dataset") for path in others if path not in known]


def check_files(dataset: Dataset, files: Sequence[StoredFile]) -> Iterator[list[Problem]]:
    """Read files and yield the problems of each, in their order.

    Args:
        dataset: the dataset that they should belong to.
        files: all of its files, from `list_files`.
    """
    paths = frozenset(file.path for file in files)
    with ThreadPoolExecutor(NUM_READERS) as pool:
        yield from pool.map(lambda file: list(_check(dataset, file.path, paths)), files)


def set_aside(dataset: Dataset, problems: Sequence[Problem], files: Sequence[StoredFile]) -> dict[PurePosixPath, PurePosixPath]:
    """Move the files that are broken, or whose rows other files hold, to `removed/`.

    A file that has changed since it was listed stays in its place, because a run may have written it again meanwhile.

    Args:
        dataset: the dataset.
        problems: the problems that were found.
        files: all files of the dataset, as they were listed before the check.

    Returns:
        path -> the folder that holds the file now. Below that folder the file keeps its path.

    Raises:
        DatasetError: one cannot be moved.
    """
    unchanged = {file.path for file in set(files).intersection(list_files(dataset))}
    reasons = {
        problem.path: f"{problem.kind}: {problem.reason}"
        for problem in problems
        if problem.removable and problem.path in unchanged
    }
    if not reasons:
        return {}
    return dict.fromkeys(reasons, removed_files.set_aside(dataset.storage, reasons, by="naswot-ray check"))


def _check(dataset: Dataset, path: PurePosixPath, paths: Collection[PurePosixPath]) -> Iterator[Problem]:
    try:
        if path.parts[0] in schema.TABLES and path.suffix == ".parquet" and not path.name.startswith("."):
            yield from _check_parquet(dataset, path, paths)
        elif layout.is_run_record(path):
            runs.read(dataset.storage, path)
        elif path != layout.MANIFEST and not layout.is_unmatched(path):
            yield Problem(Kind.FOREIGN, path, "is not a file of a dataset")
    except DatasetError as error:
        yield Problem(Kind.CORRUPT, path, str(error).removeprefix(f"{dataset.storage.path(path)} "))


def _check_parquet(dataset: Dataset, path: PurePosixPath, paths: Collection[PurePosixPath]) -> Iterator[Problem]:
    named = layout.table_file(path)
    data = dataset.storage.read_bytes(path)
    try:
        seal.verify(data, path)
    except BrokenSealError as error:
        table = _decode(data) if error.home is not None or not error.is_sealed else None
        if table is None and named is None:
            yield Problem(Kind.FOREIGN, path, "is neither a file of a dataset nor a whole Parquet file")
        elif table is None:
            again = f": {_AGAIN[path.parts[0]]}" if path.parts[0] in _AGAIN else ""
            yield Problem(Kind.CORRUPT, path, f"{error.reason}{again}", removable=True)
        elif error.home is not None or named is None:
            yield _check_copy(dataset, path, table, error.home, paths)
        else:
            reason = "has no seal: another program wrote it; move it away, and run the command again that makes this file"
            yield Problem(Kind.UNVERIFIED, path, reason)
        return
    table = _decode(data)
    if table is None:
        yield Problem(Kind.FOREIGN, path, "is not a file of a dataset")
    elif named is None:
        yield Problem(Kind.FOREIGN, path, _bad_name(table) or "is not a file of a dataset")
    elif not _has_columns_of(dataset, named.table, table):
        yield Problem(Kind.FOREIGN, path, "has other columns than this version writes: move it away")
    elif named.number is not None:
        yield from _check_part(dataset, path, named, table, paths)
    elif table.num_rows:
        for column, value in named.key.items():
            if pc.unique(table[column]).to_pylist() != [value]:
                yield Problem(Kind.FOREIGN, path, f"holds rows whose {column} is not the {value} in its name: move it away")
        for column in {"dataset", "split"}.intersection(table.column_names):
            for text in pc.unique(table[column]).to_pylist():
                if not names.is_name(text):
                    yield Problem(Kind.FOREIGN, path, f"holds rows whose {column} {names.refusal(text)}")


def _check_part(
    dataset: Dataset, path: PurePosixPath, named: TableFile, table: pa.Table, paths: Collection[PurePosixPath]
) -> Iterator[Problem]:
    settings, space, images = dataset.manifest.settings, named.space, named.images
    homes = _homes(table, named.table, dataset.manifest.shard_size)
    if homes != {path}:
        yield _misplaced(dataset, path, table, homes, paths)
    elif len(pc.unique(table["arch_index"])) != table.num_rows:
        yield Problem(Kind.DUPLICATE, path, "holds an architecture twice", removable=True)
    elif space not in settings.spaces or (images is not None and images not in settings.images):
        yield Problem(Kind.FOREIGN, path, f"{layout.MANIFEST} does not mention {space} on {images}: move it away")
    elif table.schema.metadata.get(part_footer.FINGERPRINT_KEY) != settings.fingerprint_of(space, images).encode():
        reason = "was written under other settings of its space, images, weights or batches: move it to its own dataset"
        yield Problem(Kind.SETTINGS, path, reason)


def _check_copy(
    dataset: Dataset, path: PurePosixPath, table: pa.Table, home: PurePosixPath | None, paths: Collection[PurePosixPath]
) -> Problem:
    """Classify a file that was written to another path or by another program, such as the copies of a synchronised folder."""
    name = path.parts[0]
    if not _has_columns_of(dataset, name, table):
        return Problem(Kind.FOREIGN, path, "is not a file of a dataset")
    if name in layout.TABLES_OF_PARTS:
        if reason := _bad_name(table):
            return Problem(Kind.FOREIGN, path, reason)
        return _misplaced(dataset, path, table, _homes(table, name, dataset.manifest.shard_size), paths)
    if home is None:
        return Problem(Kind.FOREIGN, path, "is not a file of a dataset")
    return _misplaced(dataset, path, table, {home}, paths)


def _bad_name(table: pa.Table) -> str | None:
    """What is wrong with the first space or image source that is not a valid name; None if all are. A part has valid ones."""
    columns = {"space", "images"}.intersection(table.column_names)
    texts = (text for column in sorted(columns) for text in pc.unique(table[column]).to_pylist())
    return next((names.refusal(text) for text in texts if not (isinstance(text, str) and names.is_name(text))), None)


def _misplaced(
    dataset: Dataset, path: PurePosixPath, table: pa.Table, homes: set[PurePosixPath], paths: Collection[PurePosixPath]
) -> Problem:
    """Classify a file with rows of other files. It may be removed if those files are verified and hold the same rows."""
    if not homes:
        return Problem(Kind.FOREIGN, path, "holds no rows: move it away")
    some = min(homes - {path}, default=path)
    if not homes <= set(paths):
        absent = min(homes - set(paths))
        return Problem(Kind.FOREIGN, path, f"holds rows of {absent}, which is not there: move it to where it belongs")
    if path in homes:
        return Problem(Kind.FOREIGN, path, f"holds rows of its own and of {some}: move it away, and score its rows again")
    try:
        theirs = [_read_verified(dataset, home) for home in homes]
    except DatasetError:
        return Problem(Kind.DUPLICATE, path, f"holds rows of {some}, which is not right itself: keep this one until it is")
    num_more = _num_not_in(table, theirs, path.parts[0])
    if num_more:
        reason = f"holds rows of {some}, and {num_more:,} of them are not there or differ: compare them, then move one away"
        return Problem(Kind.DUPLICATE, path, reason)
    return Problem(Kind.DUPLICATE, path, f"holds rows of {some}, all of which are there", removable=True)


def _read_verified(dataset: Dataset, path: PurePosixPath) -> pa.Table:
    """Read the rows of a file after verifying it.

    Raises:
        DatasetError: it is not what it should be.
    """
    named, size = layout.table_file(path), dataset.manifest.shard_size
    if named is not None and named.number is not None:
        try:
            fingerprint = dataset.manifest.settings.fingerprint_of(named.space, named.images)
        except KeyError as error:
            raise UntrustedPartError(dataset.storage, path, f"is of {error.args[0]}, unknown to {layout.MANIFEST}") from error
        full_range = range(named.number * size, (named.number + 1) * size)
        measures = dataset.manifest.settings.measures if named.images is not None else {}
        part_state.inspect(dataset.storage, Expected(path, full_range, fingerprint, measures))
    with dataset.storage.open_parquet(path) as file:
        return file.read()


def _num_not_in(table: pa.Table, others: Sequence[pa.Table], name: str) -> int:
    """How many rows of a table are in none of the others. Columns of provenance are not compared."""
    columns = [column for column in table.column_names if name != "scores" or column not in schema.SCORE_PROVENANCE]
    others = [other for other in others if set(columns) <= set(other.column_names)]
    if any(table.select(columns).equals(other.select(columns)) for other in others):
        return 0
    held = {row for other in others for row in _rows(other.select(columns))}
    return sum(row not in held for row in _rows(table.select(columns)))


def _has_columns_of(dataset: Dataset, name: str, table: pa.Table) -> bool:
    """Whether rows have the columns of a table. A part may lack measures that were added to the dataset later."""
    found = [str(column) for column in table.schema.remove_metadata()]
    if name != layout.SCORES.name:
        return found == [str(column) for column in dataset.schema_of(name)]
    measures = [column for column in dataset.measures if column in table.column_names]
    return sorted(found) == sorted(map(str, schema.schema_of(name, measures)))


def _rows(table: pa.Table) -> Iterator[tuple[object, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _homes(table: pa.Table, name: str, shard_size: int) -> set[PurePosixPath]:
    """The paths of the parts that rows belong to, according to their keys."""
    keys = list(schema.FILE_KEYS[name])
    numbered = table.select(keys).append_column("number", pc.divide(table["arch_index"], shard_size))
    place: Callable[..., PurePosixPath] = layout.scores if name == layout.SCORES.name else layout.architectures
    return {place(**row) for row in numbered.group_by([*keys, "number"]).aggregate([]).to_pylist()}


def _decode(data: bytes) -> pa.Table | None:
    """The rows of a Parquet file that any program may have written; None if it cannot be read."""
    try:
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            table = file.read(columns=file.schema_arrow.names)
            table.validate(full=True)  # also its strings: invalid UTF-8 would fail later
            return table
    # A damaged file can fail in many ways.
    except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError):
        return None
