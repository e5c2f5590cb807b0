"""What a published dataset holds, counted on the published files themselves, and whether it contradicts itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa

from naswot_ray.dataset import schema
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.sql import quoted
from naswot_ray.grid.coverage import coverage_of
from naswot_ray.publish.compaction import PublishedTable
from naswot_ray.publish.rank_agreement import RankAgreement, rank_agreements
from naswot_ray.publish.seed_means import Group, SeedMean, seed_means
from naswot_ray.publish.statements import Check, check_statements, has_line

NUM_REASONS: Final = 3
"""How many of the reasons of failures are told, the commonest first."""


@dataclass(frozen=True)
class PointCount:
    """The rows of a point of the grid, counted against the plan.

    Attributes:
        images: None for rows of the architectures table.
        wanted: how many some run was to fill.
        present: how many of these are there with every measure that they were asked for, failed ones too.
        failed: how many of these failed, or have a measure that did.
        missing: how many of the wanted ones are not there, or lack a measure.
        unplanned: how many are there that no plan asks for any more.
    """

    space: str
    images: str | None
    batch_size: int | None
    seed: int | None
    wanted: int
    present: int
    failed: int
    missing: int
    unplanned: int


@dataclass(frozen=True)
class GroupCount:
    """The score rows of a space on one image source at one batch size; `ok`, `singular` and `failed` count statuses."""

    space: str
    images: str
    batch_size: int
    num_architectures: int
    num_seeds: int
    num_rows: int
    ok: int
    singular: int
    failed: int


@dataclass(frozen=True)
class MeasureCount:
    """The values of a measure in the score rows of a space on one image source at one batch size.

    Attributes:
        num_seeds: seeds at which any row has a value.
        num_values: rows with a value, infinite ones too.
        num_infinite: how many of these are infinite.
        num_failed: rows without a value because the whole row failed.
        num_failed_alone: rows without a value because the measure failed and another one did not.
        num_not_computed: rows without a value that give no reason: no run has asked for the measure there yet.
        lowest, median, highest: of the finite values of all seeds; None if there are none.
        seed_correlation: Pearson's, of the finite values at the two lowest seeds; None for one seed.
    """

    space: str
    images: str
    batch_size: int
    measure: str
    num_seeds: int
    num_values: int
    num_infinite: int
    num_failed: int
    num_failed_alone: int
    num_not_computed: int
    lowest: float | None
    median: float | None
    highest: float | None
    seed_correlation: float | None


@dataclass(frozen=True)
class FailureReason:
    """One of the commonest reasons why rows have no value; `measure` is None where the whole row failed."""

    measure: str | None
    reason: str
    num_rows: int


@dataclass(frozen=True)
class ColumnRange:
    """The values of a numeric column; minimum and maximum are of the finite ones."""

    space: str
    table: str
    column: str
    num_null: int
    num_infinite: int
    min: float | None
    max: float | None


@dataclass(frozen=True)
class Quality:
    """The data-quality report.

    Attributes:
        complete: whether no row of scores or architectures is missing, and no score row lacks a measure that it was asked for.
        num_wanted, num_missing, num_failed: of the score rows. One that lacks a measure is missing; `failed` are those without
            any value.
        measures: by group, of the measures that have a value in the dataset.
    """

    complete: bool
    num_wanted: int
    num_missing: int
    num_failed: int
    points: list[PointCount]
    groups: list[GroupCount]
    measures: list[MeasureCount]
    reasons: list[FailureReason]
    ranges: list[ColumnRange]
    tau: list[RankAgreement]
    checks: list[Check]

    @property
    def measured(self) -> list[str]:
        """The measures that have a value in the dataset, in the order of their columns."""
        return list(dict.fromkeys(count.measure for count in self.measures))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def missing(self, rows: str = "score rows", of: str = "of", planned: str = "") -> str:
        """What is missing, for people: `2 of 8 score rows are missing or lack a measure`, and the same of the architectures
        table.

        Args:
            rows: what score rows are called.
            of: between the numbers.
            planned: after the name of what is missing.
        """
        of_architectures = [point for point in self.points if point.images is None]
        tables = (
            (self.num_missing, self.num_wanted, rows, "are missing or lack a measure"),
            (
                sum(point.missing for point in of_architectures),
                sum(point.wanted for point in of_architectures),
                f"{rows.removeprefix('score ')} of the architectures table",
                "are missing",
            ),
        )
        return ". ".join(
            f"{missing:,} {of} {wanted:,} {name}{planned} {told}" for missing, wanted, name, told in tables if missing
        )


def assess(dataset: Dataset, tables: list[PublishedTable], connection: duckdb.DuckDBPyConnection) -> Quality:
    """Count, check and compare.

    Args:
        dataset: with the records of what was asked for.
        tables: what has been published of it.
        connection: with views of that.

    Raises:
        DatasetError: rows contradict each other.
    """
    checks = check_statements(tables, dataset.measures, connection)
    points, groups = _points(dataset), _groups(connection)
    means: list[tuple[Group, dict[str, SeedMean]]] = []
    for count in groups:
        group = Group(count.space, count.images, count.batch_size)
        means.append((group, seed_means(connection, group, dataset.measures)))
    measured = [name for name in dataset.measures if any(name in found for _, found in means)]
    with dataset.naming_damaged_files():
        tau = rank_agreements(dataset, connection, means)
    return Quality(
        complete=not any(point.missing for point in points),
        num_wanted=sum(point.wanted for point in points if point.images),
        num_missing=sum(point.missing for point in points if point.images),
        num_failed=sum(group.failed for group in groups),
        points=points,
        groups=groups,
        measures=[_count(connection, group, name, found.get(name)) for name in measured for group, found in means],
        reasons=_reasons(connection, measured),
        ranges=[found for table in tables for found in _ranges(table, dataset.measures, connection)],
        tau=tau,
        checks=checks,
    )


def _points(dataset: Dataset) -> list[PointCount]:
    counts = []
    for point, found in coverage_of(dataset, fresh=True).items():
        batch = point.batch
        counts.append(
            PointCount(
                space=point.space,
                images=batch.images if batch else None,
                batch_size=batch.batch_size if batch else None,
                seed=batch.seed if batch else None,
                wanted=found.wanted,
                present=found.present,
                failed=found.failed,
                missing=found.wanted - found.present,
                unplanned=found.unplanned,
            )
        )
    return sorted(counts, key=lambda p: (p.space, p.images or "", p.batch_size or 0, p.seed or 0))


def _groups(connection: duckdb.DuckDBPyConnection) -> list[GroupCount]:
    rows = connection.execute(
        """
        SELECT space, images, batch_size, count(DISTINCT arch_index), count(DISTINCT seed), count(*),
            count(*) FILTER (status = 'ok'), count(*) FILTER (status = 'singular'), count(*) FILTER (status = 'failed')
        FROM scores GROUP BY space, images, batch_size ORDER BY ALL
        """
    ).fetchall()
    return [GroupCount(*row) for row in rows]


def _count(connection: duckdb.DuckDBPyConnection, group: Group, name: str, mean: SeedMean | None) -> MeasureCount:
    value = quoted(name)
    (row,) = connection.execute(
        f"""
        SELECT count({value}), count(*) FILTER (isinf({value})),
            count(*) FILTER ({value} IS NULL AND status = 'failed'),
            count(*) FILTER ({value} IS NULL AND status != 'failed' AND {has_line(name)}),
            count(*) FILTER ({value} IS NULL AND status != 'failed' AND NOT {has_line(name)}),
            min({value}) FILTER (isfinite({value})), quantile_cont({value}, 0.5) FILTER (isfinite({value})),
            max({value}) FILTER (isfinite({value}))
        FROM scores WHERE space = ? AND images = ? AND batch_size = ?
        """,
        list(group),
    ).fetchall()
    num_seeds, correlation = (mean.num_seeds, mean.correlation) if mean is not None else (0, None)
    counts = (num_seeds, *row, correlation)
    return MeasureCount(*group, name, *counts)


def _reasons(connection: duckdb.DuckDBPyConnection, measures: Sequence[str]) -> list[FailureReason]:
    """Those of whole rows, then those of each measure."""
    of_rows = connection.execute(_REASONS_OF_ROWS, [NUM_REASONS]).fetchall()
    found = [FailureReason(None, *row) for row in of_rows]
    for name in measures:
        rows = connection.execute(_REASONS_OF_A_MEASURE, [f"{name}: ", NUM_REASONS]).fetchall()
        found += [FailureReason(name, *row) for row in rows]
    return found


def _ranges(table: PublishedTable, measures: Sequence[str], connection: duckdb.DuckDBPyConnection) -> list[ColumnRange]:
    names = [field.name for field in schema.schema_of(table.table, measures) if not pa.types.is_string(field.type)]
    aggregates = ", ".join(
        f"count(*) - count({name}), count(*) FILTER (isinf({name}::DOUBLE)), min({name}) FILTER (isfinite({name}::DOUBLE)), "
        f"max({name}) FILTER (isfinite({name}::DOUBLE))"
        for name in map(quoted, names)
    )
    (row,) = connection.execute(f"SELECT {aggregates} FROM {table.table} WHERE space = ?", [table.space]).fetchall()
    return [ColumnRange(table.space, table.table, name, *row[4 * i : 4 * i + 4]) for i, name in enumerate(names)]


_REASONS_OF_ROWS = """
    SELECT error, count(*) AS num FROM scores WHERE status = 'failed' GROUP BY error ORDER BY num DESC, error LIMIT ?
"""

_REASONS_OF_A_MEASURE = """
    WITH lines AS (
        SELECT unnest(string_split(error, chr(10))) AS line FROM scores WHERE status != 'failed' AND error IS NOT NULL
    )
    SELECT substr(line, length($1) + 1) AS reason, count(*) AS num FROM lines WHERE starts_with(line, $1)
    GROUP BY reason ORDER BY num DESC, reason LIMIT $2
"""
