"""Accuracies in a Parquet or CSV table of your own: one row per architecture, one column per accuracy.

Which column is what is said by a mapping, `FIELD=COLUMN`:

    arch_id=arch_str                      the column that holds the architecture's key (default: arch_id)
    cifar10/test/200=cifar10_test_acc     DATASET/SPLIT/EPOCHS: mean accuracies in percent
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from naswot_ray.benchmarks.sources import digest_of, percentage
from naswot_ray.dataset.accuracies import AccuracyTable, batches_of
from naswot_ray.errors import BenchmarkError, SettingsError

SUFFIXES = (".parquet", ".csv")

_MAX_DIGITS = 9
"""Of a number of epochs: what fits the column's int32."""

Key = tuple[str, str, int]


def parse_map(entries: Sequence[str]) -> tuple[str, dict[Key, str]]:
    """Read a mapping: the name of the arch_id column, and (dataset, split, epochs) -> column.

    Raises:
        SettingsError: an entry is malformed, or none names an accuracy.
    """
    arch_id = "arch_id"
    columns: dict[Key, str] = {}
    for entry in entries:
        field, equals, column = entry.partition("=")
        if not equals or not column:
            raise SettingsError(f"--map {entry!r}: expected FIELD=COLUMN, as in cifar10/test/200=cifar10_test_acc")
        if field == "arch_id":
            arch_id = column
            continue
        key = field.split("/")
        if len(key) != 3 or not all(key) or not (key[2].isdecimal() and len(key[2]) <= _MAX_DIGITS):
            raise SettingsError(f"--map {entry!r}: expected arch_id or DATASET/SPLIT/EPOCHS before '=', as in cifar10/test/200")
        dataset, split, epochs = key[0], key[1], int(key[2])
        if (dataset, split, epochs) in columns:
            raise SettingsError(f"--map {entry!r}: {field} is already column {columns[dataset, split, epochs]!r}")
        columns[dataset, split, epochs] = column
    if not columns:
        raise SettingsError("a table needs at least one --map DATASET/SPLIT/EPOCHS=COLUMN to say which columns are accuracies")
    return arch_id, columns


def read_table(space: str, path: Path, mapping: Sequence[str]) -> AccuracyTable:
    """Read accuracies from a table.

    Args:
        space: which architectures its rows are.
        path: a .parquet or .csv file.
        mapping: entries `FIELD=COLUMN`, see the module's head. Empty cells are skipped.

    Raises:
        SettingsError: a bad mapping.
        BenchmarkError: unreadable, a column is missing, an arch_id is empty or twice there, or a value is no percentage.
    """
    arch_id_column, columns = parse_map(mapping)
    table = _read(path)
    for column in (arch_id_column, *columns.values()):
        if column not in table.column_names:
            raise BenchmarkError(f"{path}: no column {column!r}; it has {', '.join(table.column_names)}")
        if table.column_names.count(column) > 1:
            raise BenchmarkError(f"{path}: column {column!r} is there twice")
    arch_ids = table[arch_id_column].to_pylist()
    _check_keys(path, arch_id_column, arch_ids)
    digest = digest_of([path])
    rows = [
        {"arch_id": arch_id, "dataset": dataset, "split": split, "epochs": epochs, "accuracy": accuracy}
        for (dataset, split, epochs), column in columns.items()
        for arch_id, accuracy in _accuracies(path, column, arch_ids, table[column].to_pylist()).items()
    ]
    return AccuracyTable(space, path.name, digest, batches_of(space, digest, rows))


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path) if path.suffix == ".parquet" else pacsv.read_csv(path)
    except (pa.ArrowException, OSError) as error:
        raise BenchmarkError(f"{path} is not a readable {path.suffix[1:]} file: {str(error).splitlines()[0]}") from error


def _check_keys(path: Path, column: str, arch_ids: list[Any]) -> None:
    seen: set[str] = set()
    for row, arch_id in enumerate(arch_ids):
        if not isinstance(arch_id, str) or not arch_id:
            raise BenchmarkError(f"{path}: row {row}, column {column!r}: expected an arch_id, found {arch_id!r}")
        if arch_id in seen:
            raise BenchmarkError(f"{path}: row {row}, column {column!r}: {arch_id!r} is there twice")
        seen.add(arch_id)


def _accuracies(path: Path, column: str, arch_ids: list[str], values: list[Any]) -> Mapping[str, float]:
    found = {}
    for row, (arch_id, value) in enumerate(zip(arch_ids, values, strict=True)):
        if value is None:
            continue
        try:
            found[arch_id] = percentage(value)
        except ValueError as error:
            raise BenchmarkError(f"{path}: row {row}, column {column!r}: {error}") from error
    return found
