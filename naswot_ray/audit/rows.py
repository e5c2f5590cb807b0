"""What a dataset's rows tell by themselves: keys that repeat, values that no network has, columns that contradict others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import duckdb

from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.sql import literal, quoted
from naswot_ray.measures import Bounds, all_measures
from naswot_ray.spaces import facts_of

KEY: Final = ("space", "arch_id", "images", "batch_size", "seed")

_ROUNDING: Final = 1e-6
"""How far rounding may move a value beyond a bound."""


@dataclass(frozen=True)
class Finding:
    """Something that cannot be right.

    Attributes:
        reason: one line.
        num_rows: how many rows it is true of.
        example: the key of one of them, as `column=value, ...`.
    """

    reason: str
    num_rows: int
    example: str


@dataclass(frozen=True)
class PointCounts:
    """The rows of a space on one image source at one batch size and seed.

    Attributes:
        space, images, batch_size, seed: the point of the grid.
        num_rows: of all rows.
        num_singular, num_failed: of those with that status.
        num_kernels, num_singular_kernels: of those with a value of `naswot`, and with -inf there.
    """

    space: str
    images: str
    batch_size: int
    seed: int
    num_rows: int
    num_singular: int
    num_failed: int
    num_kernels: int
    num_singular_kernels: int


def find_contradictions(dataset: Dataset) -> Iterator[Finding]:
    """Look at all score rows; nothing is computed again.

    Values are held against the bounds of their measures (`Measure.bounds`), as far as the measures are installed here.
    """
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        for reason, query in _checks(dataset.measures).items():
            yield from _found(connection, reason, query)
        for name in dataset.measures:
            if name in all_measures():
                query = _out_of_bounds(connection, name, all_measures()[name].bounds)
                yield from _found(connection, f"a value of {name} that no network has", query)


def _found(connection: duckdb.DuckDBPyConnection, reason: str, query: str) -> Iterator[Finding]:
    """A finding, if a query has any rows."""
    found = connection.execute(f"SELECT count(*) FROM ({query})").fetchone()
    assert found is not None
    if found[0]:
        first = connection.execute(f"SELECT * FROM ({query}) ORDER BY ALL LIMIT 1")
        columns, row = [column[0] for column in first.description or ()], first.fetchone()
        assert row is not None
        yield Finding(reason, found[0], ", ".join(f"{c}={v}" for c, v in zip(columns, row, strict=True)))


def _out_of_bounds(connection: duckdb.DuckDBPyConnection, name: str, bounds: Bounds) -> str:
    """The query for the rows whose value of a measure is out of its bounds.

    The largest value depends on few columns, so it is computed once for each combination of them that occurs.
    """
    sizes = connection.execute(
        "SELECT DISTINCT batch_size, num_units FROM scores WHERE batch_size >= 0 AND num_units >= 0"
    ).fetchall()
    highest = [math.inf if bounds.highest is None else float(bounds.highest(*size)) for size in sizes]
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE bounds AS SELECT unnest($1::INTEGER[]) AS batch_size, unnest($2::BIGINT[]) AS num_units, "
        "unnest($3::DOUBLE[]) AS highest",
        [[n for n, _ in sizes], [u for _, u in sizes], highest],
    )
    value = quoted(name)
    singular = f"{value} = '-inf'::DOUBLE" if bounds.singular else "false"
    return f"""
        SELECT {_KEYS}, num_units, {value} FROM scores LEFT JOIN bounds USING (batch_size, num_units)
        WHERE {value} IS NOT NULL AND NOT ({singular} OR (
            {value} >= '{bounds.lowest}'::DOUBLE - {_ROUNDING}
            AND {value} <= coalesce(highest, 'inf'::DOUBLE) + {_ROUNDING}
        ))
    """


def find_other_dtypes(dataset: Dataset) -> Iterator[Finding]:
    """Rows whose arithmetic had another dtype than the dataset's settings say."""
    dtype = dataset.manifest.settings.values["dtype"]
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        rows = connection.execute(
            f"SELECT {_KEYS}, dtype FROM scores WHERE status <> 'failed' AND dtype <> ? ORDER BY ALL", [dtype]
        ).fetchall()
    if rows:
        example = ", ".join(f"{column}={value}" for column, value in zip((*KEY, "dtype"), rows[0], strict=True))
        yield Finding(f"another dtype than the dataset's, {dtype}", len(rows), example)


def count_points(dataset: Dataset) -> list[PointCounts]:
    """What there is of each point of the grid."""
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        kernel = quoted("naswot") if "naswot" in dataset.measures else "NULL::DOUBLE"
        rows = connection.execute(
            f"""
            SELECT space, images, batch_size, seed, count(*), count(*) FILTER (status = 'singular'),
                count(*) FILTER (status = 'failed'), count({kernel}), count(*) FILTER ({kernel} = '-inf'::DOUBLE)
            FROM scores GROUP BY ALL ORDER BY ALL
            """
        )
        return [PointCounts(*row) for row in rows.fetchall()]


def find_wrong_counts(points: list[PointCounts], sizes: dict[str, int]) -> Iterator[Finding]:
    """Points that hold `naswot` of a whole space, but too few singular kernels.

    Args:
        points: as `count_points` gives them.
        sizes: of the spaces.
    """
    for p in points:
        expected = facts_of(p.space).num_singular
        if expected is not None and p.num_kernels == p.num_rows == sizes[p.space] and p.num_singular_kernels < expected:
            example = f"space={p.space}, images={p.images}, batch_size={p.batch_size}, seed={p.seed}"
            yield Finding(f"{p.num_singular_kernels} singular kernels where the space has {expected}", p.num_rows, example)


_KEYS: Final = ", ".join(KEY)


def _checks(measures: Sequence[str]) -> dict[str, str]:
    """What cannot be right -> the query for the rows of which it is true.

    Args:
        measures: those that score rows have columns of.
    """
    columns = [quoted(name) for name in measures]
    computed = " OR ".join(f"{column} IS NOT NULL" for column in columns) or "false"
    singular = " OR ".join(f"{column} = '-inf'::DOUBLE" for column in columns) or "false"
    impossible = " OR ".join(f"isnan({column}) OR {column} = 'inf'::DOUBLE" for column in columns) or "false"
    told = " OR ".join(
        f"({quoted(name)} IS NOT NULL AND contains(chr(10) || error, chr(10) || {literal(name + ': ')}))" for name in measures
    )
    checks = {
        "a key more than once": f"SELECT {_KEYS} FROM scores GROUP BY ALL HAVING count(*) > 1",
        "values that the row's status does not have": f"""
            SELECT {_KEYS}, status, {", ".join(columns)} FROM scores WHERE coalesce({impossible}, false) OR NOT CASE status
                WHEN 'ok' THEN ({computed}) AND NOT coalesce({singular}, false)
                WHEN 'singular' THEN coalesce({singular}, false)
                WHEN 'failed' THEN NOT ({computed}) AND error IS NOT NULL
                ELSE false END
        """,
        "values without num_units": f"""
            SELECT {_KEYS}, num_units FROM scores WHERE ({computed}) AND NOT coalesce(num_units >= 0, false)
        """,
        "an error of a measure that has a value": f"SELECT {_KEYS}, error FROM scores WHERE {told or 'false'}",
        "other num_units than the same network elsewhere": f"""
            SELECT {_KEYS}, num_units FROM scores SEMI JOIN (
                SELECT space, arch_id, images FROM scores WHERE num_units IS NOT NULL
                GROUP BY ALL HAVING min(num_units) < max(num_units)
            ) USING (space, arch_id, images)
        """,
        "another arch_id than the architectures have at this arch_index": """
            SELECT space, scores.arch_id, images, batch_size, seed, arch_index
            FROM scores JOIN architectures USING (space, arch_index) WHERE scores.arch_id <> architectures.arch_id
        """,
    }
    if {"naswot", "naswot_paper"} <= set(measures):
        # Both are of the same tensors, which `naswot` counts at least as often: its kernel is the larger one.
        checks["naswot_paper above naswot"] = f"""
            SELECT {_KEYS}, naswot, naswot_paper FROM scores WHERE naswot_paper > naswot + {_ROUNDING}
        """
    return checks
