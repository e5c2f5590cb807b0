"""Reads every file of a dataset and tells which of them are not what they should be.

What rows are missing is a question to the grids of the runs, not to the files: see `naswot_ray.run.coverage`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from naswot_ray.dataset import layout, names, parts, runs, schema
from naswot_ray.dataset.digest import content_digest
from naswot_ray.dataset.join import stale_joins
from naswot_ray.dataset.layout import TableFile
from naswot_ray.dataset.opening import Dataset
from naswot_ray.dataset.storage import StoredFile
from naswot_ray.errors import DatasetError

NUM_READERS: Final = 16

_FOLDERS: Final = (*map(PurePosixPath, schema.TABLES), layout.RUNS, layout.RECEIPTS, layout.UNMATCHED)
"""Every folder of a dataset. None of them has folders in it."""


class Kind(StrEnum):
    """What is wrong with a file."""

    CORRUPT = "corrupt"
    """Cut off, damaged, or other rows than were written."""

    DUPLICATE = "duplicate"
    """Holds rows that lie in their own part as well, or one of them twice."""

    FOREIGN = "foreign"
    """Does not belong to the dataset, or not there. Where its name is no table's, every reader passes over it."""

    SETTINGS = "other settings"
    """Rows that were computed under other settings than the dataset's."""

    OUTDATED = "outdated"
    """Joined rows that are older than what they were made from."""

    UNVERIFIED = "unverified"
    """A part without a digest, so that nobody can tell."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with one file.

    Attributes:
        kind: what kind of thing.
        path: of the file.
        reason: one line.
        removable: whether the file is provably broken and can be made again.
    """

    kind: Kind
    path: PurePosixPath
    reason: str
    removable: bool = False


def list_files(dataset: Dataset) -> list[StoredFile]:
    """Every file in the folders of a dataset, but for what writing leaves behind for a while: temporaries and locks."""
    files = [file for folder in (PurePosixPath(), *_FOLDERS) for file in dataset.storage.list_files(folder)]
    return [file for file in files if not (layout.is_temporary(file.path.name) or layout.is_lock(file.path.name))]


def check_folders(dataset: Dataset) -> list[Problem]:
    """Folders, and other things that are no files, which a dataset does not have; nothing below them is read."""
    others = [path for folder in (PurePosixPath(), *_FOLDERS) for path in dataset.storage.list_others(folder)]
    return [Problem(Kind.FOREIGN, path, "no file or folder of a dataset") for path in others if path not in _FOLDERS]


def check_files(dataset: Dataset, files: Sequence[StoredFile]) -> Iterator[list[Problem]]:
    """Read files and tell what is wrong with each, in their order.

    Args:
        dataset: to which they should belong.
        files: all of the dataset's, as `list_files` gives them.
    """
    paths = frozenset(file.path for file in files)
    with ThreadPoolExecutor(NUM_READERS) as pool:
        yield from pool.map(lambda file: list(_check(dataset, file.path, paths)), files)


def check_joins(dataset: Dataset) -> list[Problem]:
    """Joined files that a new join would make otherwise.

    Raises:
        DatasetError: one is damaged.
    """
    again = f"run `naswot-ray join {shlex.quote(dataset.storage.root)}` again"
    return [Problem(Kind.OUTDATED, stale.path, f"{stale.reason}: {again}") for stale in stale_joins(dataset)]


def remove(dataset: Dataset, problems: Sequence[Problem]) -> list[PurePosixPath]:
    """Remove the files that are provably broken; the next run makes them again.

    Raises:
        DatasetError: one cannot be removed.
    """
    paths = list(dict.fromkeys(problem.path for problem in problems if problem.removable))
    for path in paths:
        dataset.storage.remove(path)
    return paths


def _check(dataset: Dataset, path: PurePosixPath, paths: frozenset[PurePosixPath]) -> Iterator[Problem]:
    file = layout.table_file(path)
    in_table = path.parts[0] in schema.TABLES and path.suffix == ".parquet"
    try:
        if file is not None and file.number is not None:
            yield from _check_part(dataset, path, file, paths)
        elif file is not None:
            yield from _check_table(dataset, path, file)
        elif layout.is_receipts(path):
            with dataset.storage.open_parquet(path) as content:
                content.read()
        elif layout.is_run_record(path):
            runs.read(dataset.storage, path)
        elif in_table and path.parts[0] in layout.TABLES_OF_PARTS and not path.name.startswith("."):
            yield _check_copy(dataset, path, paths)
        elif path != layout.MANIFEST and not layout.is_unmatched(path):
            yield Problem(Kind.FOREIGN, path, "no file of a dataset")
    except DatasetError as error:
        if file is None and in_table:
            yield Problem(Kind.FOREIGN, path, "no file of a dataset, nor a whole Parquet file")
            return
        # Scores, receipts and joins are made again; accuracies and records of runs are not.
        again = path.parts[0] in (*layout.TABLES_OF_PARTS, layout.RECEIPTS.name, layout.JOINED.name)
        yield Problem(Kind.CORRUPT, path, str(error).removeprefix(f"{dataset.storage.path(path)} "), removable=again)


def _check_table(dataset: Dataset, path: PurePosixPath, named: TableFile) -> Iterator[Problem]:
    with dataset.storage.open_parquet(path) as file:
        table = file.read(columns=file.schema_arrow.names)
    columns = schema.TABLES[path.parts[0]]
    if table.schema.remove_metadata() != columns:
        yield Problem(Kind.FOREIGN, path, "has other columns than this version writes")
    elif table.num_rows:
        for column, value in named.key.items():
            if pc.unique(table[column]).to_pylist() != [value]:
                yield Problem(Kind.FOREIGN, path, f"holds rows whose {column} is not {value}, as its name says")
        for column in {"dataset", "split"}.intersection(columns.names):
            for text in pc.unique(table[column]).to_pylist():
                if not names.is_name(text):
                    yield Problem(Kind.FOREIGN, path, f"holds rows whose {column} {names.refusal(text)}")


def _check_copy(dataset: Dataset, path: PurePosixPath, paths: frozenset[PurePosixPath]) -> Problem:
    """A Parquet file beside the parts that has no part's name, as programs that synchronise folders make them."""
    with dataset.storage.open_parquet(path) as file:
        table = file.read(columns=file.schema_arrow.names)
    if table.schema.remove_metadata() != schema.TABLES[path.parts[0]]:
        return Problem(Kind.FOREIGN, path, "no file of a dataset")
    homes = _homes(table, path.parts[0], dataset.manifest.shard_size)
    if homes == {path}:  # a part's name in all but the names in it
        texts = [
            text
            for column in {"space", "images"}.intersection(table.column_names)
            for text in pc.unique(table[column]).to_pylist()
        ]
        return Problem(Kind.FOREIGN, path, next(names.refusal(text) for text in texts if not names.is_name(text)))
    return _misplaced(path, homes, paths)


def _check_part(dataset: Dataset, path: PurePosixPath, named: TableFile, paths: frozenset[PurePosixPath]) -> Iterator[Problem]:
    table_name, settings = named.table, dataset.manifest.settings
    with dataset.storage.open_parquet(path) as file:
        metadata = file.schema_arrow.metadata or {}
        table = file.read(columns=file.schema_arrow.names)
    if table.schema.remove_metadata() != schema.TABLES[table_name]:
        yield Problem(Kind.FOREIGN, path, "has other columns than this version writes")
        return
    if metadata.get(parts.NUM_ROWS_KEY) not in (None, str(table.num_rows).encode()):
        told = metadata[parts.NUM_ROWS_KEY].decode()
        yield Problem(Kind.CORRUPT, path, f"holds {table.num_rows} rows, {told} were written", removable=True)
        return
    digest = metadata.get(parts.DIGEST_KEY)
    if digest is None:
        yield Problem(Kind.UNVERIFIED, path, "has no content digest")
    elif digest.decode() != content_digest(table):
        yield Problem(Kind.CORRUPT, path, "holds other rows than were written: the content digest differs", removable=True)
        return
    homes = _homes(table, table_name, dataset.manifest.shard_size)
    if homes != {path}:
        yield _misplaced(path, homes, paths)
        return
    if len(pc.unique(table["arch_index"])) != table.num_rows:
        yield Problem(Kind.DUPLICATE, path, "holds an architecture twice", removable=True)
    space, images = named.space, named.images
    if space not in settings.spaces or (images is not None and images not in settings.images):
        yield Problem(Kind.FOREIGN, path, f"{layout.MANIFEST} does not tell of {space} on {images}")
    elif metadata.get(parts.FINGERPRINT_KEY) not in (None, settings.fingerprint_of(space, images).encode()):
        yield Problem(Kind.SETTINGS, path, "was written under other settings of its space, images, weights or batches")


def _homes(table: pa.Table, name: str, shard_size: int) -> set[PurePosixPath]:
    """The parts to which rows belong, by their keys."""
    keys = list(schema.FILE_KEYS[name])
    numbered = table.select(keys).append_column("number", pc.divide(table["arch_index"], shard_size))
    place: Callable[..., PurePosixPath] = layout.scores if name == layout.SCORES.name else layout.architectures
    return {place(**row) for row in numbered.group_by([*keys, "number"]).aggregate([]).to_pylist()}


def _misplaced(path: PurePosixPath, homes: set[PurePosixPath], paths: frozenset[PurePosixPath]) -> Problem:
    if not homes:
        return Problem(Kind.FOREIGN, path, "holds no rows")
    some = min(homes)
    if homes <= paths:
        return Problem(Kind.DUPLICATE, path, f"holds rows of {some}, which is there", removable=path not in homes)
    return Problem(Kind.FOREIGN, path, f"holds rows of {some}, which is not there: move it to where it belongs")
