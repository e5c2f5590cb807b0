"""Accuracies in your own Parquet or CSV table, with one row per architecture and one column per accuracy.

A mapping with entries `FIELD=COLUMN` tells what each column holds:

    arch_id=arch_str                      the column that holds the key of the architecture (default: arch_id)
    cifar10/test/200=cifar10_test_acc     DATASET/SPLIT/EPOCHS: mean accuracies in percent
    cifar10/test/200/seconds=time         the time in seconds that each of these trainings took

Blanks around names, keys and values are ignored. A value is a number, or a text that reads as one (`94.3`, `9.43e1`). An empty
cell, NaN and words such as `NA` or `null` mean that an architecture has no such accuracy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from naswot_ray.benchmarks.members import Members
from naswot_ray.benchmarks.sources import digest_of, duration, percentage
from naswot_ray.dataset.accuracies import AccuracyTable, batches_of
from naswot_ray.dataset.label import Label
from naswot_ray.errors import BenchmarkError, SettingsError

SUFFIXES = (".parquet", ".csv")

_SECONDS = "/seconds"

_EMPTY: Final = frozenset({*pacsv.ConvertOptions().null_values, "None", "<NA>"})
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)
"""Infinity is read as a number too, so that the error message can say what is wrong."""


def parse_map(entries: Sequence[str]) -> tuple[str, dict[Label, str], dict[Label, str]]:
    """Read a mapping. Returns the name of the arch_id column, the column of each label, and that of each label's training time.

    Raises:
        SettingsError: an entry is malformed, or no entry names an accuracy.
    """
    arch_id = "arch_id"
    columns: dict[Label, str] = {}
    times: dict[Label, str] = {}
    for entry in entries:
        field, equals, column = entry.partition("=")
        if not equals or not column:
            raise SettingsError(f"--map {entry!r}: expected FIELD=COLUMN, as in cifar10/test/200=cifar10_test_acc")
        if field == "arch_id":
            arch_id = column
            continue
        try:
            label = Label.parse(field.removesuffix(_SECONDS))
        except SettingsError:
            expected = "expected arch_id or DATASET/SPLIT/EPOCHS before '=', as in cifar10/test/200"
            raise SettingsError(f"--map {entry!r}: {expected}") from None
        mine = times if field.endswith(_SECONDS) else columns
        if label in mine:
            raise SettingsError(f"--map {entry!r}: {field} is already column {mine[label]!r}")
        mine[label] = column
    if not columns:
        raise SettingsError("a table needs at least one --map DATASET/SPLIT/EPOCHS=COLUMN to say which columns are accuracies")
    if alone := times.keys() - columns.keys():
        label = min(alone)
        raise SettingsError(f"--map {label}{_SECONDS}={times[label]}: there is no --map {label}=COLUMN to go with it")
    return arch_id, columns, times


def read_table(space: str, path: Path, mapping: Sequence[str], members: Members | None = None) -> AccuracyTable:
    """Read accuracies from a table.

    Args:
        space: the space whose architectures its rows are.
        path: a .parquet or .csv file.
        mapping: entries `FIELD=COLUMN`; see the module's docstring.
        members: the architectures of the space, to check the keys; None accepts any key.

    Raises:
        SettingsError: the mapping is wrong.
        BenchmarkError: the file cannot be read; a column is missing or has no value; an arch_id is empty, occurs twice or is
            not in the space; or a value is not a percentage.
    """
    arch_id_column, columns, times = parse_map(mapping)
    table = _read(path)
    names = _found(path, table, [arch_id_column, *columns.values(), *times.values()])
    _check_text(path, table, names)
    cells = table[names[arch_id_column]]
    if path.suffix == ".csv" and not pa.types.is_integer(cells.type):  # a hash such as 1e99 would be read as a number
        cells = _read(path, {names[arch_id_column]: pa.string()})[names[arch_id_column]]
    arch_ids = _keys(path, arch_id_column, cells.to_pylist(), members)
    digest = digest_of([path])
    rows: list[dict[str, Any]] = []
    warnings = []
    for label, column in columns.items():
        accuracies = _values(path, column, arch_ids, table[names[column]], percentage)
        if min(accuracies.values()) >= 0 and 0 < max(accuracies.values()) <= 1:
            warnings.append(
                f"{path}: column {column!r} has values from {min(accuracies.values()):g} to {max(accuracies.values()):g}, as "
                f"fractions have; {label} is in percent: if they are fractions, multiply the column by 100 "
                "and import it again with --replace"
            )
        seconds = _values(path, times[label], arch_ids, table[names[times[label]]], duration) if label in times else {}
        rows += [
            {"arch_id": arch_id, **asdict(label), "accuracy": accuracy, "training_seconds": seconds.get(arch_id)}
            for arch_id, accuracy in accuracies.items()
        ]
    if members is not None:
        members.check_all(path, arch_id_column, arch_ids)
    return AccuracyTable(space, path.name, digest, batches_of(space, digest, rows), tuple(warnings))


def _read(path: Path, types: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            table = pacsv.read_csv(path, convert_options=pacsv.ConvertOptions(column_types=types))
        _ = table.column_names  # decodes them
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise BenchmarkError(f"{path} is not a readable {path.suffix[1:]} file: {str(error).splitlines()[0]}") from error
    return table


def _check_text(path: Path, table: pa.Table, names: Mapping[str, str]) -> None:
    """Refuse text that is not UTF-8; Arrow does not check it when it reads Parquet."""
    for column, name in names.items():
        try:
            table[name].validate(full=True)
        except pa.ArrowInvalid as error:
            raise BenchmarkError(f"{path}: column {column!r} is damaged: {str(error).splitlines()[0]}") from error


def _found(path: Path, table: pa.Table, columns: Sequence[str]) -> dict[str, str]:
    """The requested columns and their names in the file, which can have blanks around them."""
    names = {}
    for column in columns:
        found = [name for name in table.column_names if name == column]
        found = found or [name for name in table.column_names if name.strip() == column]
        if not found:
            raise BenchmarkError(f"{path}: no column {column!r}; it has {', '.join(table.column_names)}")
        if len(found) > 1:
            raise BenchmarkError(f"{path}: column {column!r} is there twice")
        names[column] = found[0]
    return names


def _keys(path: Path, column: str, cells: list[Any], members: Members | None) -> list[str]:
    """The arch_ids of the rows of a table, without the blanks around them, and as the space writes them."""
    seen: dict[str, str] = {}
    for row, cell in enumerate(cells):
        written = cell.strip() if isinstance(cell, str) else None
        if not written:
            raise BenchmarkError(f"{path}: row {row}, column {column!r}: expected an arch_id, found {cell!r}")
        arch_id = written if members is None else members.own_spelling(written)
        if arch_id in seen:
            also = "" if seen[arch_id] == written else f", as {seen[arch_id]!r} before"
            raise BenchmarkError(f"{path}: row {row}, column {column!r}: {written!r} is there twice{also}")
        seen[arch_id] = written
    if not seen:
        raise BenchmarkError(f"{path} has no rows")
    return list(seen)


def _values(
    path: Path, column: str, arch_ids: Sequence[str], cells: pa.ChunkedArray, convert: Callable[[Any], float]
) -> Mapping[str, float]:
    """The numbers of a column by architecture; architectures with an empty cell are left out."""
    if pa.types.is_floating(cells.type):
        cells = cells.cast(pa.float64())
    found = {}
    for row, (arch_id, cell) in enumerate(zip(arch_ids, cells.to_pylist(), strict=True)):
        value = _number(cell)
        if value is None:
            continue
        try:
            found[arch_id] = convert(value)
        except ValueError as error:
            raise BenchmarkError(f"{path}: row {row}, column {column!r}: {error}") from error
    if not found:
        raise BenchmarkError(f"{path}: column {column!r} has no value in any of its {len(arch_ids):,} rows")
    return found


def _number(cell: Any) -> Any:
    """The value of a cell. Text becomes a number if it reads as one. A missing value and NaN (from pandas) become None."""
    if isinstance(cell, Decimal):
        cell = float(cell)
    if isinstance(cell, str):
        text = cell.strip()
        if text in _EMPTY:
            return None
        return float(text) if _NUMBER.fullmatch(text) else cell
    return None if isinstance(cell, float) and math.isnan(cell) else cell
