"""What a published dataset holds, counted on the published files themselves, and whether it contradicts itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa

from naswot_ray.analysis.literature import published as published_figures
from naswot_ray.analysis.summary import summarise
from naswot_ray.dataset import schema
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.errors import DatasetError
from naswot_ray.grid.coverage import coverage_of
from naswot_ray.publish.compaction import PublishedTable

BAND_MARGIN: Final = 0.1
"""How far outside the published figures tau is still like them: label, subset, batch size and seeds differ between papers."""

ENOUGH_FOR_TAU: Final = 500
"""Architectures from which tau's standard error is under 0.03."""

REAL_IMAGES: Final = ("cifar10", "cifar100", "imagenet16-120")


@dataclass(frozen=True)
class PointCount:
    """The rows of a point of the grid, counted against the plan.

    Attributes:
        images: None for rows of the architectures table.
        wanted, present, failed, missing: how many some run was to fill; of these, how many are there, failed or are not there.
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
    """The score rows of a space on one image source at one batch size.

    Attributes:
        num_seeds, num_rows, ok, singular, failed: what there is.
        lowest, median, highest: of the finite scores; None if there are none.
        seed_correlation: Pearson's, of the finite scores of the two lowest seeds; None for one seed.
    """

    space: str
    images: str
    batch_size: int
    num_architectures: int
    num_seeds: int
    num_rows: int
    ok: int
    singular: int
    failed: int
    lowest: float | None
    median: float | None
    highest: float | None
    seed_correlation: float | None


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
class RankAgreement:
    """Kendall's tau-b of the mean score over seeds, and of the baselines, with mean test accuracy.

    Attributes:
        published: lowest and highest figure in the literature, None where there is none to compare with.
        inside: whether tau is within `BAND_MARGIN` of them.
    """

    space: str
    images: str
    batch_size: int
    trained_on: str
    num_architectures: int
    tau: float | None
    tau_params: float | None
    tau_flops: float | None
    tau_num_layers: float | None
    published: tuple[float, float] | None
    inside: bool | None


@dataclass(frozen=True)
class Check:
    """A statement about rows, and how many rows it was checked on. All of them hold: otherwise nothing is published."""

    statement: str
    num_rows: int


@dataclass(frozen=True)
class Quality:
    """The data-quality report.

    Attributes:
        complete: whether no row of scores or architectures is missing.
        num_wanted, num_missing, num_failed: of the scores.
    """

    complete: bool
    num_wanted: int
    num_missing: int
    num_failed: int
    points: list[PointCount]
    groups: list[GroupCount]
    ranges: list[ColumnRange]
    tau: list[RankAgreement]
    checks: list[Check]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def missing(self, rows: str = "score rows", of: str = "of", planned: str = "") -> str:
        """What is missing, for people: `2 of 8 score rows are missing`, and the same of the architectures table.

        Args:
            rows: what the rows of scores are called.
            of: what stands between two numbers.
            planned: what stands before `are missing`.
        """
        architectures = [point for point in self.points if not point.images]
        tables = (
            (self.num_missing, self.num_wanted, rows),
            (sum(p.missing for p in architectures), sum(p.wanted for p in architectures), "rows of the architectures table"),
        )
        return ". ".join(
            f"{missing:,} {of} {wanted:,} {name}{planned} are missing" for missing, wanted, name in tables if missing
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
    points, groups = _points(dataset), _groups(connection)
    return Quality(
        complete=not any(point.missing for point in points),
        num_wanted=sum(point.wanted for point in points if point.images),
        num_missing=sum(point.missing for point in points if point.images),
        num_failed=sum(group.failed for group in groups),
        points=points,
        groups=groups,
        ranges=[found for table in tables for found in _ranges(table, dataset.measures, connection)],
        tau=_tau(dataset),
        checks=_checks(tables, connection),
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
    groups = []
    for row in connection.execute(_GROUPS).fetchall():
        first, second = row[-2:]
        correlation = None
        if second is not None:
            correlation = connection.execute(_SEEDS, [*row[:3], first, *row[:3], second]).fetchall()[0][0]
        counts = (*row[:-2], _finite(correlation))
        groups.append(GroupCount(*counts))
    return groups


def _ranges(table: PublishedTable, measures: Sequence[str], connection: duckdb.DuckDBPyConnection) -> list[ColumnRange]:
    names = [field.name for field in schema.schema_of(table.table, measures) if not pa.types.is_string(field.type)]
    aggregates = ", ".join(
        f"count(*) - count({name}), count(*) FILTER (isinf({name}::DOUBLE)), min({name}) FILTER (isfinite({name}::DOUBLE)), "
        f"max({name}) FILTER (isfinite({name}::DOUBLE))"
        for name in names
    )
    (row,) = connection.execute(f"SELECT {aggregates} FROM {table.table} WHERE space = ?", [table.space]).fetchall()
    return [ColumnRange(table.space, table.table, name, *row[4 * i : 4 * i + 4]) for i, name in enumerate(names)]


def _tau(dataset: Dataset) -> list[RankAgreement]:
    agreements = []
    for group in summarise(dataset):
        for trained_on, tau in group.tau.items():
            number = group.num_joined[trained_on]
            figures = [figure.value for figure in published_figures(group.space, trained_on, "score", "tau")]
            comparable = figures and group.images in REAL_IMAGES and number >= ENOUGH_FOR_TAU
            published = (min(figures), max(figures)) if comparable else None
            taus = {name: _finite(value) for name, value in tau.items()}
            score = taus["score"]
            inside = None
            if published is not None and score is not None:
                inside = published[0] - BAND_MARGIN <= score <= published[1] + BAND_MARGIN
            agreements.append(
                RankAgreement(
                    group.space,
                    group.images,
                    group.batch_size,
                    trained_on,
                    number,
                    score,
                    taus["params"],
                    taus["flops"],
                    taus["num_layers"],
                    published,
                    inside,
                )
            )
    return agreements


def _checks(tables: list[PublishedTable], connection: duckdb.DuckDBPyConnection) -> list[Check]:
    rows = {name: sum(table.num_rows for table in tables if table.table == name) for name in schema.TABLES}
    checks = [Check(f"no two rows of {name} have the same key", rows[name]) for name in schema.TABLES if rows[name]]
    for name, statement, exception in _STATEMENTS:
        if rows[name]:
            found = connection.execute(f"SELECT space, arch_id FROM {exception} LIMIT 1").fetchall()
            if found:
                space, arch_id = found[0]
                raise DatasetError(
                    f"not in every row of {name} {statement}: {arch_id} of {space} is one; `naswot-ray check` tells "
                    "damaged files, others have to be scored again"
                )
            checks.append(Check(f"in every row of {name} {statement}", rows[name]))
    return checks


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


_GROUPS = """
    SELECT space, images, batch_size, count(DISTINCT arch_index), count(DISTINCT seed), count(*),
        count(*) FILTER (status = 'ok'), count(*) FILTER (status = 'singular'), count(*) FILTER (status = 'failed'),
        min(score) FILTER (isfinite(score)), quantile_cont(score, 0.5) FILTER (isfinite(score)),
        max(score) FILTER (isfinite(score)), min(seed), min(seed) FILTER (seed > lowest)
    FROM scores JOIN (SELECT space, images, batch_size, min(seed) AS lowest FROM scores GROUP BY ALL)
        USING (space, images, batch_size)
    GROUP BY space, images, batch_size ORDER BY ALL
"""

_SEEDS = """
    WITH a AS (SELECT arch_index, score FROM scores WHERE space = ? AND images = ? AND batch_size = ? AND seed = ?),
        b AS (SELECT arch_index, score FROM scores WHERE space = ? AND images = ? AND batch_size = ? AND seed = ?)
    SELECT corr(a.score, b.score) FROM a JOIN b USING (arch_index) WHERE isfinite(a.score) AND isfinite(b.score)
"""

_STATEMENTS = (
    ("scores", "the status is ok, singular or failed", "scores WHERE status NOT IN ('ok', 'singular', 'failed')"),
    (
        "scores",
        "the score is null where the status is failed, -inf where it is singular, finite where it is ok",
        """scores WHERE (status = 'failed') != (score IS NULL) OR (status = 'singular') != (coalesce(score, 0) = '-inf'::DOUBLE)
            OR (status = 'ok') != (score IS NOT NULL AND isfinite(score))""",
    ),
    ("scores", "a failed row says why", "scores WHERE status = 'failed' AND error IS NULL"),
    ("scores", "counts and times are not negative", "scores WHERE num_units < 0 OR seconds < 0 OR batch_size < 1"),
    (
        "scores",
        "arch_index is that of the architecture",
        "scores s JOIN architectures a USING (space, arch_id) WHERE s.arch_index != a.arch_index",
    ),
    (
        "architectures",
        "arch_id is no other architecture's",
        "architectures GROUP BY space, arch_id HAVING count(*) > 1",
    ),
    ("accuracies", "the accuracy is from 0 to 100 percent", "accuracies WHERE NOT accuracy BETWEEN 0 AND 100"),
)
