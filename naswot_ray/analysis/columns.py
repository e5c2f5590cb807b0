"""The architectures of a space as points: measures, baselines and accuracies as aligned columns, for figures and the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import duckdb
import numpy as np
import numpy.typing as npt

from naswot_ray.analysis.correlation import Ranked, kendall
from naswot_ray.analysis.names import BASELINE_TITLES, dataset_name
from naswot_ray.analysis.summary import main_measure
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.schema import BASELINES
from naswot_ray.dataset.sql import literal, quoted
from naswot_ray.terminal import printable

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """One number per architecture.

    Attributes:
        kind: what it is.
        name: what readers call it.
        label: the same for an axis, with the unit and all that it depends on.
        values: float64, shape (n,), aligned with `Points.arch_ids`; NaN where there is none, -inf where K is singular.
        sql: the same in DuckDB, from the scores with their architectures and mean accuracies, grouped by arch_id.
        measure, batch_size, num_seeds: of a measure's mean over seeds.
        dataset, split, epochs: of an accuracy.
    """

    kind: Literal["measure", "baseline", "accuracy"]
    name: str
    label: str
    values: Values
    sql: str
    measure: str | None = None
    batch_size: int | None = None
    num_seeds: int | None = None
    dataset: str | None = None
    split: str | None = None
    epochs: int | None = None


@dataclass(frozen=True)
class Points:
    """The architectures of a space that have scores on one image source, in the space's order.

    Attributes:
        architectures: in the benchmark's notation; None where the architectures table does not tell.
        columns: key -> column: measures by batch size (mean over seeds), then baselines, then mean accuracies. A measure
            without any value has no column.
    """

    space: str
    images: str
    arch_ids: list[str]
    architectures: list[str | None]
    columns: dict[str, Column]

    def of_kind(self, kind: str) -> dict[str, Column]:
        """The columns of one kind."""
        return {key: column for key, column in self.columns.items() if column.kind == kind}

    @property
    def measures(self) -> list[str]:
        """The measures that have columns, in the dataset's order."""
        return list(dict.fromkeys(column.measure for column in self.columns.values() if column.measure is not None))

    def of_measure(self, measure: str) -> list[Column]:
        """The columns of a measure, by batch size."""
        return [column for column in self.columns.values() if column.measure == measure]

    def main_column(self, measure: str | None = None) -> Column | None:
        """A measure at the largest batch size of those that have values for the most architectures.

        Args:
            measure: which; None for `summary.MAIN_MEASURE`, or the first that there is.

        Returns:
            None where the measure has no column.
        """
        chosen = measure or main_measure(self.measures)
        found = [] if chosen is None else self.of_measure(chosen)
        return max(found, key=lambda c: (np.count_nonzero(~np.isnan(c.values)), c.batch_size), default=None)

    @property
    def main_accuracy(self) -> Column | None:
        """The test accuracy on CIFAR-10 if there is one; None where the space has no accuracies."""
        found = self.of_kind("accuracy").values()
        return min(found, key=lambda c: (c.split != "test", c.dataset != "cifar10", -(c.epochs or 0)), default=None)


def list_points(dataset: Dataset) -> list[tuple[str, str]]:
    """Every (space, image source) that a dataset has scores of, sorted."""
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        return connection.sql("SELECT DISTINCT space, images FROM scores ORDER BY ALL").fetchall()


def load_points(dataset: Dataset, space: str, images: str) -> Points:
    """The points of a space on one image source.

    A measure is the mean over the seeds at its batch size on which it has values, of the architectures that have one for each
    of them: means over different seeds do not compare. An accuracy is the mean over repeats, in percent, at the most epochs
    that its dataset and split have.

    Raises:
        DatasetError: a file is damaged.
    """
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        return _load(connection, space, images, dataset.measures)


def seed_values(dataset: Dataset, points: Points, measure: str) -> dict[int, dict[int, Values]]:
    """Batch size -> seed -> values of a measure, aligned with the points. Seeds without any value are left out."""
    place = {arch_id: i for i, arch_id in enumerate(points.arch_ids)}
    found: dict[int, dict[int, Values]] = {}
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        key = [points.space, points.images]
        for batch_size, seed, _ in _grid(connection, key, [measure]):
            rows = connection.execute(
                f"SELECT arch_id, {quoted(measure)} FROM scores WHERE {_KEY} AND batch_size = ? AND seed = ?",
                [*key, batch_size, seed],
            ).fetchnumpy()
            values = np.full(len(place), np.nan)
            values[[place[arch_id] for arch_id in rows["arch_id"]]] = _floats(rows[measure])
            found.setdefault(batch_size, {})[seed] = values
    return found


def rank_correlation(x: Values, y: Values) -> tuple[float, int]:
    """Kendall's tau-b over the architectures that have both numbers, and how many those are; -inf ranks last.

    NaN where there is no order to compare.
    """
    both = ~(np.isnan(x) | np.isnan(y))
    count = int(np.count_nonzero(both))
    return (kendall(Ranked(x[both]), Ranked(y[both])).value if count > 1 else float("nan")), count


def _load(connection: duckdb.DuckDBPyConnection, space: str, images: str, measures: Sequence[str]) -> Points:
    key = [space, images]
    base = connection.execute(_ARCHITECTURES, [*key, space]).fetchnumpy()
    indices = base["arch_index"]

    def aligned(rows: dict[str, Any], name: str) -> Values:
        values = np.full(len(indices), np.nan)
        values[np.searchsorted(indices, rows["arch_index"])] = _floats(rows[name])
        return values

    columns: dict[str, Column] = {}
    seeds_of: dict[tuple[str, int], list[int]] = {}
    sums: dict[tuple[str, int], Values] = {}
    for batch_size, seed, present in _grid(connection, key, measures):  # by seed, so that a mean is the same every time
        names = ", ".join(map(quoted, present))
        rows = connection.execute(
            f"SELECT arch_index, {names} FROM scores WHERE {_KEY} AND batch_size = ? AND seed = ?", [*key, batch_size, seed]
        ).fetchnumpy()
        for name in present:
            seeds_of.setdefault((name, batch_size), []).append(seed)
            values = aligned(rows, name)
            sums[name, batch_size] = sums[name, batch_size] + values if (name, batch_size) in sums else values
    for name, batch_size in sorted(sums, key=lambda one: (measures.index(one[0]), one[1])):
        seeds = seeds_of[name, batch_size]
        mean = sums[name, batch_size] / len(seeds)
        over = f"mean of {len(seeds)} seeds" if len(seeds) > 1 else f"seed {seeds[0]}"
        columns[f"{name}_{batch_size}"] = Column(
            "measure",
            f"{name}, batch size {batch_size}",
            f"{name}, batch size {batch_size}, {over}",
            mean,
            _mean_sql(name, batch_size, len(seeds), complete=not np.isnan(mean).any()),
            measure=name,
            batch_size=batch_size,
            num_seeds=len(seeds),
        )
    for name in BASELINES:
        label = BASELINE_TITLES[name]
        columns[name] = Column("baseline", label, label, _floats(base[name]), f"any_value({name})")
    for trained_on, split, epochs in connection.execute(_TRAININGS, [space]).fetchall():
        called = f"{dataset_name(trained_on)} {printable(split)}"
        rows = connection.execute(_MEAN_ACCURACIES, [*key, space, trained_on, split, epochs]).fetchnumpy()
        columns[f"{trained_on}_{split}_{epochs}"] = Column(
            "accuracy",
            f"{called} accuracy (%)",
            f"{called} accuracy after {epochs} epochs (%)",
            aligned(rows, "accuracy"),
            f"any_value(accuracy) FILTER (dataset = {literal(trained_on)} AND split = {literal(split)} AND epochs = {epochs})",
            dataset=trained_on,
            split=split,
            epochs=epochs,
        )
    return Points(space, images, list(base["arch_id"]), [text or None for text in base["architecture"]], columns)


def _grid(
    connection: duckdb.DuckDBPyConnection, key: Sequence[str], measures: Sequence[str]
) -> Iterator[tuple[int, int, list[str]]]:
    """Every batch size and seed of a space and image source, with the measures that have values there, sorted."""
    counted = ", ".join(f"count({quoted(name)})" for name in measures)
    grid = connection.execute(
        f"SELECT batch_size, seed, {counted} FROM scores WHERE {_KEY} GROUP BY ALL ORDER BY ALL", key
    ).fetchall()
    for batch_size, seed, *counts in grid:
        present = [name for name, count in zip(measures, counts, strict=True) if count]
        if present:
            yield batch_size, seed, present


def _mean_sql(measure: str, batch_size: int, num_seeds: int, *, complete: bool) -> str:
    """The mean over seeds, null without a value for each; a joined row is there once for each accuracy."""
    name, where = quoted(measure), f"batch_size = {batch_size}"
    mean = f"avg({name}) FILTER ({where})"
    if complete or num_seeds == 1:
        return mean
    return f"CASE WHEN count(DISTINCT seed) FILTER ({where} AND {name} IS NOT NULL) = {num_seeds} THEN {mean} END"


def _floats(values: Any) -> Values:
    """A DuckDB column as float64; null is NaN."""
    return np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)


_KEY = "space = ? AND images = ?"

_ARCHITECTURES = f"""
    WITH scored AS (SELECT DISTINCT arch_id, arch_index FROM scores WHERE {_KEY})
    SELECT arch_id, scored.arch_index, coalesce(architecture, '') AS architecture, {", ".join(BASELINES)}
    FROM scored LEFT JOIN (SELECT * FROM architectures WHERE space = ?) USING (arch_id)
    ORDER BY scored.arch_index
"""

_TRAININGS = """
    SELECT dataset, split, max(epochs) FROM accuracies WHERE space = ? AND seed IS NULL
    GROUP BY ALL ORDER BY dataset, split
"""

_MEAN_ACCURACIES = f"""
    WITH scored AS (SELECT DISTINCT arch_id, arch_index FROM scores WHERE {_KEY})
    SELECT arch_index, accuracy FROM accuracies JOIN scored USING (arch_id)
    WHERE space = ? AND seed IS NULL AND dataset = ? AND split = ? AND epochs = ?
"""
