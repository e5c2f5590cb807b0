"""What holds for every published row. A dataset of which one of these is not true is not published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb

from naswot_ray.dataset import schema
from naswot_ray.dataset.sql import literal, quoted
from naswot_ray.errors import DatasetError
from naswot_ray.publish.compaction import PublishedTable


@dataclass(frozen=True)
class Check:
    """A statement about rows, and how many rows it was checked on. All of them hold: otherwise nothing is published."""

    statement: str
    num_rows: int


def check_statements(
    tables: Sequence[PublishedTable], measures: Sequence[str], connection: duckdb.DuckDBPyConnection
) -> list[Check]:
    """Look for a row that contradicts a statement.

    Args:
        tables: what has been published.
        measures: that score rows have columns of.
        connection: with views of the tables.

    Raises:
        DatasetError: there is such a row; names the first one.
    """
    num_rows = {name: sum(table.num_rows for table in tables if table.table == name) for name in schema.TABLES}
    checks = [Check(f"no two rows of {name} have the same key", num_rows[name]) for name in schema.TABLES if num_rows[name]]
    for table, statement, exceptions in [*_of_scores(measures), *_OF_OTHERS]:
        if not num_rows[table]:
            continue
        found = connection.execute(f"SELECT space, arch_id FROM {exceptions} ORDER BY ALL LIMIT 1").fetchall()
        if found:
            space, arch_id = found[0]
            raise DatasetError(
                f"not in every row of {table} {statement}: {arch_id} of {space} is one; `naswot-ray check` tells "
                "damaged files, others have to be scored again"
            )
        checks.append(Check(f"in every row of {table} {statement}", num_rows[table]))
    return checks


def has_line(measure: str) -> str:
    """SQL, a bool: whether the column `error` has a line of a measure, `NAME: REASON`."""
    return f"contains(chr(10) || coalesce(error, ''), chr(10) || {literal(f'{measure}: ')})"


def _of_scores(measures: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(table, statement, the rows that contradict it)."""
    values = [f"{quoted(name)}::DOUBLE" for name in measures]
    any_value = " OR ".join(f"{value} IS NOT NULL" for value in values) or "false"
    any_infinite = " OR ".join(f"coalesce(isinf({value}), false)" for value in values) or "false"
    any_nan = " OR ".join(f"coalesce(isnan({value}), false)" for value in values) or "false"
    right = f"CASE WHEN NOT ({any_value}) THEN 'failed' WHEN {any_infinite} THEN 'singular' ELSE 'ok' END"
    yield (
        "scores",
        "the status is failed if no measure has a value, else singular if one is infinite, else ok",
        f"scores WHERE status != {right}",
    )
    yield "scores", "no measure is NaN", f"scores WHERE {any_nan}"
    yield "scores", "a failed row says why", "scores WHERE status = 'failed' AND error IS NULL"
    for name in measures:
        yield (
            "scores",
            f"{name} is null where the row failed, and where the column error tells why it failed alone",
            f"scores WHERE {quoted(name)} IS NOT NULL AND (status = 'failed' OR {has_line(name)})",
        )
    yield "scores", "counts and times are not negative", "scores WHERE num_units < 0 OR seconds < 0 OR batch_size < 1"
    yield (
        "scores",
        "arch_index is that of the architecture",
        "scores s JOIN architectures a USING (space, arch_id) WHERE s.arch_index != a.arch_index",
    )


_OF_OTHERS = (
    (
        "architectures",
        "arch_id is no other architecture's",
        "architectures GROUP BY space, arch_id HAVING count(*) > 1",
    ),
    ("accuracies", "the accuracy is from 0 to 100 percent", "accuracies WHERE NOT accuracy BETWEEN 0 AND 100"),
)
