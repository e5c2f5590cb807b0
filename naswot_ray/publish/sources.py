"""The rows to publish, sorted, from the parts of a dataset that has been looked through first."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads

from naswot_ray.dataset import layout, part_footer, schema
from naswot_ray.dataset.check import check_files
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import check_whole, joined_rows
from naswot_ray.dataset.sql import lock_down
from naswot_ray.dataset.storage import StoredFile
from naswot_ray.dataset.verification import in_threads
from naswot_ray.errors import DatasetError
from naswot_ray.publish.compaction import KEYS, FileFormat, PublishedTable

BATCH_ROWS: Final = 1 << 16
MEMORY_LIMIT: Final = "2GB"
"""For DuckDB; what it sorts beyond that goes to the disk."""

NUM_NAMED: Final = 3
"""How many parts an error names; the others are counted."""

OWN_TABLES: Final = ("scores", "architectures")
"""Tables that hold nothing from third parties."""


def checked_files(dataset: Dataset, progress: Callable[[int, int], None] = lambda done, total: None) -> list[StoredFile]:
    """The files of all tables, each of which has been read and is what it should be.

    Args:
        dataset: to look through.
        progress: called with the files read so far, and all of them.

    Raises:
        DatasetError: a file is damaged, holds rows twice or does not belong there; parts hold another version of a measure than
            the dataset; a join is not whole; there are no scores.
    """
    files = table_files(dataset)
    if not any(file.path.parts[0] == "scores" for file in files):
        raise DatasetError(f"{dataset.storage.root} holds no scores: nothing to publish")
    problems = []
    for done, found in enumerate(check_files(dataset, files), start=1):
        problems += found
        progress(done, len(files))
    if problems:
        first = problems[0]
        raise DatasetError(
            f"{dataset.storage.path(first.path)}: {first.kind}: {first.reason} ({len(problems)} such files); `naswot-ray check "
            f"{shlex.quote(dataset.storage.root)}` lists them and how to mend them"
        )
    _check_versions(dataset, files)
    check_whole(dataset)
    return files


def _check_versions(dataset: Dataset, files: Sequence[StoredFile]) -> None:
    """Refuse values of a measure in another version than the dataset's: two meanings would lie in one column."""
    paths = [file.path for file in files if file.path.parts[0] == layout.SCORES.name]
    versions = dataset.manifest.settings.measures
    others: dict[tuple[str, int], list[PurePosixPath]] = {}
    with dataset.naming_damaged_files():
        of_parts = in_threads(lambda path: part_footer.measure_versions(dataset.storage, path), paths)
    for path, of_part in zip(paths, of_parts, strict=True):
        for name, version in of_part.items():
            if versions.get(name) != version:
                others.setdefault((name, version), []).append(path)
    if not others:
        return
    (name, version), holding = next(iter(others.items()))
    current = versions.get(name, 0)
    parts_named = ", ".join(dataset.storage.path(path) for path in holding[:NUM_NAMED])
    if len(holding) > NUM_NAMED:
        parts_named += f" and {len(holding) - NUM_NAMED:,} more parts"
    again = f"run the `naswot-ray score` command that made them again, with --measure {name}"
    remedy = f"{again} --replace-older" if version < current else f"move them away and {again}"
    raise DatasetError(
        f"{parts_named} {'holds' if len(holding) == 1 else 'hold'} version {version} of the measure {name}, the dataset has "
        f"version {current or 'none'}: {remedy}"
    )


def table_files(dataset: Dataset) -> list[StoredFile]:
    """The files that hold a dataset's tables."""
    return [file for table in schema.TABLES for file in dataset.files(table)]


def rows_of_parts(dataset: Dataset, files: list[StoredFile], table: str, space: str) -> Iterator[pa.Table]:
    """Rows of `scores` or `architectures` of a space, part by part, sorted by the table's key.

    A part may lack measures that the dataset has got since it was written; they are null there.
    """
    columns = dataset.schema_of(table)
    named = [(found, file.path) for file in files if (found := layout.table_file(file.path)) is not None]
    mine = [(found.order, path) for found, path in named if (found.table, found.space) == (table, space)]
    for _, path in sorted(mine):
        with dataset.storage.open_parquet(path) as file:
            rows = file.read()
        lacking = [column for column in columns if column.name not in rows.column_names]
        for column in lacking:
            rows = rows.append_column(column, pa.nulls(rows.num_rows, column.type))
        yield rows.select(columns.names).sort_by("arch_index")


def accuracies_of(dataset: Dataset, space: str, scratch: Path) -> Iterator[pa.Table]:
    """Accuracy rows of a space, sorted by the table's key.

    Args:
        dataset: holds them.
        space: whose.
        scratch: folder for what does not fit into memory.
    """
    with dataset.naming_damaged_files(), _connect({"accuracies": dataset.accuracies}, scratch) as connection:
        order = ", ".join(KEYS["accuracies"])
        rows = connection.sql(f"SELECT * FROM accuracies WHERE space = $1 ORDER BY {order}", params=[space])
        batches: pa.RecordBatchReader = rows.to_arrow_reader(BATCH_ROWS)
        yield from (pa.Table.from_batches([batch]) for batch in batches)


def joined_of(connection: duckdb.DuckDBPyConnection, measures: Sequence[str], space: str) -> Iterator[pa.Table]:
    """Scores of a space with mean accuracies, sorted by the table's key.

    Joined anew from the published tables, so that they fit together, whenever `join` was last run on the dataset.

    Args:
        connection: with views of the published tables.
        measures: of the scores.
        space: whose.
    """
    points = connection.execute(
        "SELECT DISTINCT images, batch_size, seed FROM scores WHERE space = ? ORDER BY ALL", [space]
    ).fetchall()
    for point in points:
        yield joined_rows(connection, measures, space, *point)


def connect(
    tables: list[PublishedTable], measures: Sequence[str], file_format: FileFormat, scratch: Path
) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with views of published tables, by the names of the dataset's."""
    kind = "parquet" if file_format is FileFormat.PARQUET else "ipc"
    views = {}
    for name in schema.TABLES:
        columns = schema.schema_of(name, measures)
        paths = [str(path) for table in tables if table.table == name for path in table.paths]
        views[name] = pads.dataset(paths, schema=columns, format=kind) if paths else pads.dataset(columns.empty_table())
    return _connect(views, scratch)


def _connect(views: Mapping[str, pads.Dataset], scratch: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"memory_limit": MEMORY_LIMIT})
    for name, rows in views.items():
        connection.register(name, rows)
    lock_down(connection, scratch)
    return connection
