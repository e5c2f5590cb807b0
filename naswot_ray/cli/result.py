"""The result of `query`: it runs one statement that only reads, and writes the result as a table, CSV, TSV or Parquet.

DuckDB itself writes the values, into a temporary file. So a result appears whole or not at all, wherever it goes.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, Final

import duckdb
import pyarrow as pa
from rich.cells import cell_len

from naswot_ray.dataset.address import split
from naswot_ray.dataset.sql import literal, quoted
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import SettingsError
from naswot_ray.paths import without_credentials
from naswot_ray.spreadsheet import FORMULA, NUMBER, guarded
from naswot_ray.terminal import printable, printable_line


class QueryFormat(StrEnum):
    """How `query` writes its result."""

    TABLE = "table"
    CSV = "csv"
    PARQUET = "parquet"
    TSV = "tsv"


SUFFIXES: Final = {
    ".csv": QueryFormat.CSV,
    ".csv.gz": QueryFormat.CSV,
    ".tsv": QueryFormat.TSV,
    ".tsv.gz": QueryFormat.TSV,
    ".parquet": QueryFormat.PARQUET,
    ".txt": QueryFormat.TABLE,
}
"""File name ending -> format. JSON is left out because it has no -inf, which is the score of a singular kernel."""

ROWS_ON_TERMINAL: Final = 40

_READING: Final = frozenset(
    {"SELECT", "FROM", "WITH", "VALUES", "TABLE", "(", "PIVOT", "PIVOT_WIDER", "UNPIVOT", "PIVOT_LONGER"}
    | {"DESCRIBE", "DESC", "SHOW", "SUMMARIZE", "EXPLAIN"}
)
"""First words of statements that only read."""
_WRITING_IN_WITH: Final = frozenset(["COPY", "INSERT", "UPDATE", "DELETE", "MERGE"])
"""First words of the writing statements that can stand in a `WITH name AS (...)`."""
_TYPES: Final = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI)
"""Types of statement that may be run.

MULTI is a PIVOT whose values are not listed: DuckDB runs it as several statements. A statement that writes the result of such a
PIVOT is MULTI too, so its first word is checked as well.
"""

_NUMBERS: Final = frozenset(
    {"tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"}
    | {"float", "double", "decimal"}
)
"""Types that a table aligns to the right."""

_TEXTS: Final = frozenset({"varchar", "enum", "blob", "union"})
"""Types whose values may begin with any character in CSV."""

_INEXACT_INTERVAL: Final = r"\d\d:\d\d:\d\d\.\d{3}\d*[1-9]"
_RESULT: Final = "result of the query"


def format_of(output: str | None, asked: QueryFormat | None, *, is_terminal: bool) -> QueryFormat:
    """The format in which to write a result.

    Args:
        output: the file; None for the standard output.
        asked: the value of --format; None to decide by the file's name, or by where the standard output goes.
        is_terminal: whether the standard output is a terminal.

    Raises:
        SettingsError: the file's name has no known ending, or one that contradicts `asked`.
    """
    if output is None:
        if asked is QueryFormat.PARQUET:
            raise SettingsError("--format parquet needs --output FILE")
        return asked or (QueryFormat.TABLE if is_terminal else QueryFormat.CSV)
    name = split(output)[1]
    told = SUFFIXES.get(_suffix(name))
    if told is None and (asked is None or PurePosixPath(name).suffix):
        raise SettingsError(f"--output {without_credentials(output)}: expected a name that ends with {', '.join(SUFFIXES)}")
    if told and asked and told is not asked:
        raise SettingsError(
            f"--output {without_credentials(output)} is {told} by its name, but --format {asked} contradicts it: change one "
            f"of them"
        )
    return told or asked or QueryFormat.CSV


def result_of(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[duckdb.DuckDBPyRelation, bool]:
    """The result of one statement that only reads, and whether it is a query plan (of EXPLAIN).

    Raises:
        SettingsError: there is no statement, or more than one, or one that writes.
        duckdb.Error: the statement is wrong.
    """
    statements = connection.extract_statements(sql)
    words = _words(sql)
    explained = _explained(connection, sql)
    start = _words(explained)[:1]
    if len(statements) != 1 or statements[0].type not in _TYPES or not start or start[0].upper() not in _READING:
        raise SettingsError(
            "expected one statement that gives rows: SELECT, FROM, WITH, VALUES, PIVOT, UNPIVOT, DESCRIBE, SUMMARIZE, SHOW or "
            "EXPLAIN"
        )
    if verb := _writing(words):
        raise SettingsError(f"expected a statement that only reads; {verb} in a WITH writes")
    return connection.sql(_without_end(sql)), words[0].upper() == "EXPLAIN"


def write_result(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    chosen: QueryFormat,
    output: str | None,
    scratch: Path,
    *,
    is_terminal: bool,
) -> None:
    """Run a statement that only reads, and write all its rows. A table on a terminal is cut, and says so.

    Args:
        connection: the connection to run it on.
        sql: the statement.
        chosen: the format to write it in.
        output: a local path or URI to write to; None for the standard output.
        scratch: an empty folder that the connection can write to.
        is_terminal: whether the standard output is a terminal.

    Raises:
        SettingsError: the statement is refused, or the result cannot be written.
        duckdb.Error: the statement fails.
    """
    relation, is_plan = result_of(connection, sql)
    path = scratch / "result"
    match chosen:
        case QueryFormat.PARQUET:
            _for_parquet(relation).write_parquet(str(path), compression="zstd")
        case QueryFormat.CSV | QueryFormat.TSV:
            is_packed = output is not None and _suffix(split(output)[1]).endswith(".gz")
            _for_csv(relation).write_csv(
                str(path),
                sep="," if chosen is QueryFormat.CSV else "\t",
                header=True,
                compression="gzip" if is_packed else "none",
            )
        case QueryFormat.TABLE:
            relation.create(f'"{_RESULT}"')
            result = connection.table(f'"{_RESULT}"')
            with path.open("w", encoding="utf-8") as file:
                if is_plan:
                    file.writelines(f"{row[-1].rstrip()}\n" for row in result.fetchall())
                elif output is None and is_terminal:
                    file.write(_cut_table(result))
                else:
                    file.writelines(_whole_table(result))
    _deliver(path, chosen, output)


def _deliver(path: Path, chosen: QueryFormat, output: str | None) -> None:
    try:
        if output is None:
            sys.stdout.flush()
            with path.open("rb") as file:
                if sys.stdout.isatty():
                    sys.stdout.buffer.writelines(printable(line.decode()).encode() for line in file)
                else:
                    shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.flush()
        else:
            folder, name = split(output)
            with pa.memory_map(str(path)) as file:
                Storage(folder).write_bytes(PurePosixPath(name), file.read_buffer())
    except BrokenPipeError:  # such as `| head`, which has read all that it wants
        raise
    except (OSError, pa.ArrowException) as error:
        target = without_credentials(output or "the result")
        raise SettingsError(f"cannot write {target} as {chosen}: {' '.join(str(error).split())}") from error


def _suffix(name: str) -> str:
    """The longest of `SUFFIXES` that a name ends with, ignoring case; empty if there is none."""
    return max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len, default="")


def _tokens(sql: str) -> list[tuple[int, str]]:
    """The words and signs of a statement, without comments: where each begins, as a UTF-8 byte offset, and its text."""
    text = sql.encode()
    tokens = duckdb.tokenize(sql)
    ends = [*(offset for offset, _ in tokens), len(text)][1:]
    return [
        (offset, text[offset:end].decode().strip())
        for (offset, kind), end in zip(tokens, ends, strict=True)
        if kind != duckdb.token_type.comment
    ]


def _words(sql: str) -> list[str]:
    return [word for _, word in _tokens(sql)]


def _without_end(sql: str) -> str:
    """A statement without the semicolons and comments at its end, so that it can be part of another one."""
    end = None
    for offset, word in reversed(_tokens(sql)):
        if word != ";":
            break
        end = offset
    return sql.encode()[:end].decode()


def _explained(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The statement after `EXPLAIN`, `EXPLAIN ANALYZE` (which runs it) or `EXPLAIN (options)`. Others stay as they are."""
    tokens = _tokens(sql)
    if not tokens or tokens[0][1].upper() != "EXPLAIN":
        return sql
    behind = list(itertools.dropwhile(lambda token: token[1].upper() in ("ANALYZE", "ANALYSE", "VERBOSE"), tokens[1:]))
    if behind and behind[0][1] == "(":
        with contextlib.suppress(duckdb.ParserException):  # if it parses, it is a query in brackets; else the options
            connection.extract_statements(_from(sql, behind))
            return _from(sql, behind)
        behind = behind[[word for _, word in behind].index(")") + 1 :]
    return _from(sql, behind)


def _from(sql: str, tokens: Sequence[tuple[int, str]]) -> str:
    return sql.encode()[tokens[0][0] :].decode() if tokens else ""


def _writing(words: Sequence[str]) -> str | None:
    """The verb of a writing statement in a `WITH name AS (...)`; None if there is none."""
    upper = [word.upper() for word in words]
    for before, bracket, verb in zip(upper, upper[1:], upper[2:], strict=False):
        if before in ("AS", "MATERIALIZED") and bracket == "(" and verb in _WRITING_IN_WITH:
            return verb
    return None


def _for_csv(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """A relation made safe for CSV.

    Texts are changed so that no spreadsheet takes them for a formula (`spreadsheet`). In a table of one column a null becomes
    `""`: its line would be empty otherwise, and readers skip empty lines.
    """
    relation = relation.project("*")  # makes column names unique
    columns = []
    for name, type_ in zip(relation.columns, relation.types, strict=True):
        value = quoted(name)
        if type_.id in _TEXTS:
            text = f"CAST({value} AS VARCHAR)"
            is_formula = f"regexp_matches({text}, {literal(FORMULA)}) AND NOT regexp_matches({text}, {literal(NUMBER)}, 'i')"
            value = f"CASE WHEN {is_formula} THEN '''' || {text} ELSE {text} END"
        if len(relation.columns) == 1:
            value = f"coalesce(CAST({value} AS VARCHAR), '')"
        columns.append(f"{value} AS {quoted(guarded(name))}")
    return relation.project(", ".join(columns))


def _for_parquet(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """A relation with types that Parquet holds exactly. DuckDB would write a 128-bit integer as a float, for example."""
    relation = relation.project("*")  # makes column names unique
    columns = []
    for name, type_ in zip(relation.columns, relation.types, strict=True):
        column = quoted(name)
        exact = _exact_type(type_)
        value = column if exact == str(type_) else f"CAST({column} AS {exact})"
        if "INTERVAL" in str(type_):
            problem = literal(f"column {name}: Parquet holds intervals to the millisecond; cast it to VARCHAR")
            is_inexact = f"regexp_matches(CAST({column} AS VARCHAR), {literal(_INEXACT_INTERVAL)})"
            value = f"CASE WHEN {is_inexact} THEN error({problem}) ELSE {value} END"
        columns.append(f"{value} AS {column}")
    return relation.project(", ".join(columns))


def _exact_type(type_: Any) -> str:
    """The type to cast a DuckDB type to, so that a Parquet file holds its values and other programs can read them."""
    match type_.id:
        case "hugeint" | "uhugeint":
            return "DECIMAL(38,0)"
        case "time with time zone" | "union":
            return "VARCHAR"
        case "list" | "array":
            return f"{_exact_type(type_.children[0][1])}[]"
        case "struct" if type_.children:
            return f"STRUCT({', '.join(f'{quoted(name)} {_exact_type(child)}' for name, child in type_.children)})"
        case "map":
            return f"MAP({', '.join(_exact_type(child) for _, child in type_.children)})"
        case _:
            return str(type_)


def _cut_table(result: duckdb.DuckDBPyRelation) -> str:
    """A table for a terminal: the first rows, the columns that fit, and a line that says what was left out."""
    num_rows, num_columns = result.shape
    drawn = io.StringIO()
    with contextlib.redirect_stdout(drawn):
        # One more than the number of rows. Otherwise DuckDB would print dots between the first and the last rows.
        result.limit(ROWS_ON_TERMINAL).show(max_rows=ROWS_ON_TERMINAL + 1, max_width=shutil.get_terminal_size().columns)
    table, corner, footer = drawn.getvalue().rpartition("┘")
    columns = re.search(r"columns \((\d+) shown\)", footer)
    told = [f"{min(num_rows, ROWS_ON_TERMINAL):,} of {num_rows:,} rows"] if num_rows > ROWS_ON_TERMINAL else []
    told += [f"{columns[1]} of {num_columns} columns"] if columns else []
    if told:
        footer = f"\n{' and '.join(told)} shown; for all: -o FILE.csv (or .parquet, .txt), or `| less`"
    return f"{table}{corner}{footer.rstrip()}\n"


def _whole_table(result: duckdb.DuckDBPyRelation) -> Iterator[str]:
    """Yield the lines of a table with all its rows and columns, in DuckDB's style."""
    names, types = list(map(printable_line, result.columns)), [str(type_).lower() for type_ in result.types]
    rows = [
        ["NULL" if value is None else printable_line(value) for value in row]
        for row in result.project("CAST(COLUMNS(*) AS VARCHAR)").fetchall()
    ]
    widths = [max(map(cell_len, column)) for column in zip(names, types, *rows, strict=True)]
    is_number = [type_.id in _NUMBERS for type_ in result.types]

    def line(cells: Sequence[str]) -> str:
        padded = (
            " " * (width - cell_len(cell)) + cell if right else cell + " " * (width - cell_len(cell))
            for cell, width, right in zip(cells, widths, is_number, strict=True)
        )
        return f"│ {' │ '.join(padded)} │\n"

    bars = ["─" * (width + 2) for width in widths]
    yield f"┌{'┬'.join(bars)}┐\n"
    yield line(names)
    yield line(types)
    yield f"├{'┼'.join(bars)}┤\n"
    yield from map(line, rows)
    yield f"└{'┴'.join(bars)}┘\n"
    yield f"{len(rows):,} row{'s' if len(rows) != 1 else ''}\n"
