"""The architectures of a space as points: scores, baselines and accuracies as aligned columns, for figures and the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import duckdb
import numpy as np
import numpy.typing as npt

from naswot_ray.analysis.correlation import Ranked, kendall
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.sql import literal
from naswot_ray.terminal import printable

BASELINES = {"params": "Parameters", "flops": "FLOPs", "num_layers": "Layers", "num_relus": "ReLU layers"}
"""Column of the architectures table -> how readers call it."""

DATASET_NAMES = {
    "cifar10": "CIFAR-10",
    "cifar10-valid": "CIFAR-10 (half)",
    "cifar100": "CIFAR-100",
    "imagenet16-120": "ImageNet16-120",
}


def dataset_name(name: str) -> str:
    """What readers call a data set or image source; of one that is not known the name itself."""
    return DATASET_NAMES.get(name, printable(name))


Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """One number per architecture.

    Attributes:
        kind: what it is.
        name: what readers call it.
        label: the same for an axis, with the unit and all that it depends on.
        values: float64, shape (n,), aligned with `Points.arch_ids`; NaN where there is none or a score failed, -inf where K is
            singular.
        sql: the same in DuckDB, from the scores with their architectures and mean accuracies, grouped by arch_id.
        batch_size, num_seeds: of a mean score.
        dataset, split, epochs: of an accuracy.
    """

    kind: Literal["score", "baseline", "accuracy"]
    name: str
    label: str
    values: Values
    sql: str
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
        columns: key -> column: scores by batch size (mean over seeds), then baselines, then mean accuracies.
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
    def main_score(self) -> Column:
        """The mean score at the largest batch size of those that are scored for the most architectures."""
        return max(self.of_kind("score").values(), key=lambda c: (np.count_nonzero(~np.isnan(c.values)), c.batch_size))

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

    A score is the mean over the seeds there are at its batch size, of the architectures that have a score for each of them:
    means over different seeds do not compare. An accuracy is the mean over repeats, in percent, at the most epochs there are of
    its dataset and split.

    Raises:
        DatasetError: a file is damaged.
    """
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        return _load(connection, space, images)


def seed_scores(dataset: Dataset, points: Points) -> dict[int, dict[int, Values]]:
    """Batch size -> seed -> scores, aligned with the points."""
    place = {arch_id: i for i, arch_id in enumerate(points.arch_ids)}
    found: dict[int, dict[int, Values]] = {}
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        key = [points.space, points.images]
        grid = connection.execute(f"SELECT DISTINCT batch_size, seed FROM scores WHERE {_KEY} ORDER BY ALL", key).fetchall()
        for batch_size, seed in grid:
            rows = connection.execute(
                f"SELECT arch_id, score FROM scores WHERE {_KEY} AND batch_size = ? AND seed = ?", [*key, batch_size, seed]
            ).fetchnumpy()
            values = np.full(len(place), np.nan)
            values[[place[arch_id] for arch_id in rows["arch_id"]]] = _floats(rows["score"])
            found.setdefault(batch_size, {})[seed] = values
    return found


def rank_correlation(x: Values, y: Values) -> tuple[float, int]:
    """Kendall's tau-b over the architectures that have both numbers, and how many those are; -inf ranks last.

    NaN where there is no order to compare.
    """
    both = ~(np.isnan(x) | np.isnan(y))
    count = int(np.count_nonzero(both))
    return (kendall(Ranked(x[both]), Ranked(y[both])).value if count > 1 else float("nan")), count


def _load(connection: duckdb.DuckDBPyConnection, space: str, images: str) -> Points:
    key = [space, images]
    base = connection.execute(_ARCHITECTURES, [*key, space]).fetchnumpy()
    indices = base["arch_index"]

    def aligned(rows: dict[str, Any], name: str) -> Values:
        values = np.full(len(indices), np.nan)
        values[np.searchsorted(indices, rows["arch_index"])] = _floats(rows[name])
        return values

    columns: dict[str, Column] = {}
    grid = connection.execute(
        f"SELECT batch_size, list_sort(list(DISTINCT seed)) FROM scores WHERE {_KEY} GROUP BY ALL ORDER BY ALL", key
    ).fetchall()
    for batch_size, seeds in grid:
        mean = np.zeros(len(indices))
        for seed in seeds:  # always in this order, so that a mean is the same every time, and the same as in an analysis
            mean += aligned(connection.execute(_SEED_SCORES, [*key, batch_size, seed]).fetchnumpy(), "score")
        mean /= len(seeds)
        num_seeds = len(seeds)
        columns[f"score_{batch_size}"] = Column(
            "score",
            f"Score, batch size {batch_size}",
            f"NASWOT score, batch size {batch_size}, {f'mean of {num_seeds} seeds' if num_seeds > 1 else f'seed {seeds[0]}'}",
            mean,
            _mean_score_sql(batch_size, num_seeds, complete=not np.isnan(mean).any()),
            batch_size=batch_size,
            num_seeds=num_seeds,
        )
    for name, label in BASELINES.items():
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


def _mean_score_sql(batch_size: int, num_seeds: int, *, complete: bool) -> str:
    """The mean over seeds, null without a score for each; a joined row is there once for each accuracy."""
    where = f"batch_size = {batch_size}"
    mean = f"avg(score) FILTER ({where})"
    if complete or num_seeds == 1:
        return mean
    return f"CASE WHEN count(DISTINCT seed) FILTER ({where} AND score IS NOT NULL) = {num_seeds} THEN {mean} END"


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

_SEED_SCORES = f"SELECT arch_index, score FROM scores WHERE {_KEY} AND batch_size = ? AND seed = ?"

_TRAININGS = """
    SELECT dataset, split, max(epochs) FROM accuracies WHERE space = ? AND seed IS NULL
    GROUP BY ALL ORDER BY dataset, split
"""

_MEAN_ACCURACIES = f"""
    WITH scored AS (SELECT DISTINCT arch_id, arch_index FROM scores WHERE {_KEY})
    SELECT arch_index, accuracy FROM accuracies JOIN scored USING (arch_id)
    WHERE space = ? AND seed IS NULL AND dataset = ? AND split = ? AND epochs = ?
"""
