"""Many small parts to few large files: sorted, of one schema, in memory that does not grow with the dataset."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from naswot_ray.dataset import schema
from naswot_ray.dataset.manifest import Manifest
from naswot_ray.errors import DatasetError

ROWS_PER_GROUP: Final = 1 << 17
"""Rows of a row group (Parquet) or record batch (Arrow): what a reader loads at once, and skips at once."""

GROUPS_PER_FILE: Final = 32
"""So a file has at most 4,194,304 rows, some hundred megabytes: few requests, and yet several can be read at once."""

COMPRESSION_LEVEL: Final = 9

MAX_DICTIONARY_BYTES: Final = 1 << 24
"""Room for the distinct architectures of a group, which come again for every seed."""

KEYS: Final = {
    "scores": ("space", "images", "batch_size", "seed", "arch_index"),
    "architectures": ("space", "arch_index"),
    "accuracies": ("space", "arch_id", "dataset", "split", "epochs", "seed"),
    "joined": ("space", "images", "batch_size", "seed", "arch_index", "dataset", "split", "epochs"),
}
"""What the rows of a table are sorted by, and what no two of them share."""


class FileFormat(StrEnum):
    """What kind of files is published."""

    PARQUET = "parquet"
    ARROW = "arrow"


@dataclass(frozen=True)
class PublishedTable:
    """One table of one space.

    Attributes:
        space, table: which.
        paths: its files, in the order of their rows.
        num_rows: in all of them.
    """

    space: str
    table: str
    paths: tuple[Path, ...]
    num_rows: int

    @property
    def config(self) -> str:
        """Its name for those who load it: the space's own for scores."""
        return self.space if self.table == "scores" else f"{self.space}_{self.table}"


def write_table(
    folder: Path, space: str, table: str, pieces: Iterable[pa.Table], manifest: Manifest, file_format: FileFormat
) -> PublishedTable:
    """Write sorted rows to `TABLE-00000-of-00003.parquet` and so on.

    The files depend on the rows alone, not on the pieces in which they come.

    Args:
        folder: where to; created.
        space: whose rows they are.
        table: name of the table, whose schema the pieces have.
        pieces: the rows, sorted by the table's key.
        manifest: of the dataset: the files' metadata tell its schema version, fingerprint and versions of measures.
        file_format: of the files.

    Raises:
        DatasetError: two rows have the same key, or the disk is full.
    """
    metadata = {"naswot_ray.schema_version": manifest.schema_version, "naswot_ray.fingerprint": manifest.settings.fingerprint}
    if table in ("scores", "joined"):
        metadata["naswot_ray.measures"] = json.dumps(manifest.settings.measures)
    columns = schema.schema_of(table, manifest.settings.measures).with_metadata(metadata)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    writer: pq.ParquetWriter | pa.ipc.RecordBatchFileWriter | None = None
    num_rows = 0
    try:
        for number, group in enumerate(_unique(_groups(pieces, columns), table)):
            if number % GROUPS_PER_FILE == 0:
                if writer is not None:
                    writer.close()
                written.append(folder / f"{table}-{len(written):05d}.{file_format}")
                writer = _writer(written[-1], columns, table, file_format)
            assert writer is not None
            _write(writer, group)
            num_rows += group.num_rows
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"cannot write {folder}: {error}") from error
    finally:
        if writer is not None:
            writer.close()
    paths = []
    for number, path in enumerate(written):
        paths.append(folder / f"{table}-{number:05d}-of-{len(written):05d}.{file_format}")
        path.rename(paths[-1])
    return PublishedTable(space, table, tuple(paths), num_rows)


def _groups(pieces: Iterable[pa.Table], columns: pa.Schema) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    num_waiting = 0
    for piece in pieces:
        waiting.append(piece.select(columns.names).cast(columns))
        num_waiting += piece.num_rows
        while num_waiting >= ROWS_PER_GROUP:
            rows = pa.concat_tables(waiting)
            yield rows.slice(0, ROWS_PER_GROUP).combine_chunks()
            waiting, num_waiting = [rows.slice(ROWS_PER_GROUP)], num_waiting - ROWS_PER_GROUP
    if num_waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _unique(groups: Iterable[pa.Table], table: str) -> Iterator[pa.Table]:
    """The same groups; an error where two rows have one key, which lie side by side since the rows are sorted."""
    key = list(KEYS[table])
    last: pa.Table | None = None
    for group in groups:
        keys = group.select(key) if last is None else pa.concat_tables([last, group.select(key)])
        if (position := _first_repeat(keys)) is not None:
            row = ", ".join(f"{name} {value}" for name, value in keys.slice(position, 1).to_pylist()[0].items())
            raise DatasetError(f"the table {table} has two rows of {row}; remove one of them and publish again")
        last = group.select(key).slice(group.num_rows - 1)
        yield group


def _first_repeat(keys: pa.Table) -> int | None:
    same: Any = None
    for column in keys.columns:
        before, after = column.slice(0, len(column) - 1), column.slice(1)
        both_null = pc.and_(pc.is_null(before), pc.is_null(after))
        equal = pc.or_(pc.fill_null(pc.equal(before, after), False), both_null)
        same = equal if same is None else pc.and_(same, equal)
    position = pc.index(same, True).as_py()
    return None if position < 0 else position + 1


def _writer(
    path: Path, columns: pa.Schema, table: str, file_format: FileFormat
) -> pq.ParquetWriter | pa.ipc.RecordBatchFileWriter:
    if file_format is FileFormat.ARROW:
        return pa.ipc.new_file(str(path), columns)  # not compressed, so that it can be used where it lies
    order = [pq.SortingColumn(columns.get_field_index(name)) for name in KEYS[table]]
    floats = [field.name for field in columns if pa.types.is_floating(field.type)]
    return pq.ParquetWriter(
        path,
        columns,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=[name for name in columns.names if name not in floats],
        dictionary_pagesize_limit=MAX_DICTIONARY_BYTES,
        use_byte_stream_split=floats,  # scores hardly repeat, but their leading bytes do
        write_statistics=True,
        write_page_index=True,
        write_page_checksum=True,
        use_content_defined_chunking=True,
        sorting_columns=order,
    )


def _write(writer: pq.ParquetWriter | pa.ipc.RecordBatchFileWriter, group: pa.Table) -> None:
    if isinstance(writer, pq.ParquetWriter):
        writer.write_table(group, row_group_size=ROWS_PER_GROUP)
    else:
        writer.write_table(group, max_chunksize=ROWS_PER_GROUP)
