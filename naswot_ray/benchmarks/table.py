"""Accuracies in a Parquet or CSV table of your own: one row per architecture, one column per accuracy.

Which column is what is said by a mapping, `FIELD=COLUMN`:

    arch_id=arch_str                      the column that holds the architecture's key (default: arch_id)
    cifar10/test/200=cifar10_test_acc     DATASET/SPLIT/EPOCHS: mean accuracies in percent
    cifar10/test/200/seconds=time         the time in seconds that each of these trainings took
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from naswot_ray.benchmarks.sources import digest_of, duration, percentage
from naswot_ray.dataset.accuracies import AccuracyTable, batches_of
from naswot_ray.errors import BenchmarkError, SettingsError

SUFFIXES = (".parquet", ".csv")

_MAX_DIGITS = 9
"""Of a number of epochs: what fits the column's int32."""

_SECONDS = "/seconds"

Key = tuple[str, str, int]


def parse_map(entries: Sequence[str]) -> tuple[str, dict[Key, str], dict[Key, str]]:
    """Read a mapping: the name of the arch_id column, (dataset, split, epochs) -> column, and the same for training times.

    Raises:
        SettingsError: an entry is malformed, or none names an accuracy.
    """
    arch_id = "arch_id"
    columns: dict[Key, str] = {}
    times: dict[Key, str] = {}
    for entry in entries:
        field, equals, column = entry.partition("=")
        if not equals or not column:
            raise SettingsError(f"--map {entry!r}: expected FIELD=COLUMN, as in cifar10/test/200=cifar10_test_acc")
        if field == "arch_id":
            arch_id = column
            continue
        key, is_time = field.removesuffix(_SECONDS).split("/"), field.endswith(_SECONDS)
        if len(key) != 3 or not all(key) or not (key[2].isdecimal() and len(key[2]) <= _MAX_DIGITS):
            raise SettingsError(f"--map {entry!r}: expected arch_id or DATASET/SPLIT/EPOCHS before '=', as in cifar10/test/200")
        dataset, split, epochs = key[0], key[1], int(key[2])
        mine = times if is_time else columns
        if (dataset, split, epochs) in mine:
            raise SettingsError(f"--map {entry!r}: {field} is already column {mine[dataset, split, epochs]!r}")
        mine[dataset, split, epochs] = column
    if not columns:
        raise SettingsError("a table needs at least one --map DATASET/SPLIT/EPOCHS=COLUMN to say which columns are accuracies")
    if alone := times.keys() - columns.keys():
        field = "/".join(map(str, min(alone)))
        raise SettingsError(f"--map {field}{_SECONDS}={times[min(alone)]}: there is no --map {field}=COLUMN that it goes with")
    return arch_id, columns, times


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
    arch_id_column, columns, times = parse_map(mapping)
    table = _read(path)
    for column in (arch_id_column, *columns.values(), *times.values()):
        if column not in table.column_names:
            raise BenchmarkError(f"{path}: no column {column!r}; it has {', '.join(table.column_names)}")
        if table.column_names.count(column) > 1:
            raise BenchmarkError(f"{path}: column {column!r} is there twice")
    arch_ids = table[arch_id_column].to_pylist()
    _check_keys(path, arch_id_column, arch_ids)
    digest = digest_of([path])
    rows = []
    for key, column in columns.items():
        named = dict(zip(("dataset", "split", "epochs"), key, strict=True))
        seconds = _values(path, times[key], arch_ids, table, duration) if key in times else {}
        rows += [
            {"arch_id": arch_id, **named, "accuracy": accuracy, "training_seconds": seconds.get(arch_id)}
            for arch_id, accuracy in _values(path, column, arch_ids, table, percentage).items()
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


def _values(
    path: Path, column: str, arch_ids: list[str], table: pa.Table, convert: Callable[[Any], float]
) -> Mapping[str, float]:
    found = {}
    for row, (arch_id, value) in enumerate(zip(arch_ids, table[column].to_pylist(), strict=True)):
        if value is None:
            continue
        try:
            found[arch_id] = convert(value)
        except ValueError as error:
            raise BenchmarkError(f"{path}: row {row}, column {column!r}: {error}") from error
    return found
