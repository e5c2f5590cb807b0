"""Collects what the page says about a dataset as a whole: its rows, its grid and its rank correlations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from naswot_ray import __version__
from naswot_ray.analysis.names import BASELINE_TITLES, dataset_name
from naswot_ray.analysis.summary import summarise
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import describe_stale, stale_joins
from naswot_ray.dataset.schema import BASELINES
from naswot_ray.dataset.sql import quoted
from naswot_ray.grid.holdings import Holding
from naswot_ray.measures import all_measures


@dataclass(frozen=True)
class GridCount:
    """Counts the rows at one point of the grid: those that runs were asked for, those that exist, and those that failed."""

    space: str
    images: str
    batch_size: int
    seed: int
    wanted: int
    present: int
    failed: int


def describe(dataset: Dataset, grid: Iterable[GridCount], holdings: Iterable[Holding]) -> dict[str, Any]:
    """Make the page's tables, as JSON values.

    Args:
        dataset: the dataset to describe.
        grid: the coverage of its grid.
        holdings: how many values of each measure it holds.
    """
    manifest, known = dataset.manifest, all_measures()
    correlations = _correlations(dataset)
    measures = [name for name in dataset.measures if any(name in row["tau"] for row in correlations)]
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        names = (
            "space",
            "images",
            "rows",
            "architectures",
            "ok",
            "singular",
            "failed",
            "batch_sizes",
            "seeds",
            "engines",
            "seconds",
        )
        contents = [dict(zip(names, row, strict=True)) for row in connection.sql(_CONTENTS).fetchall()]
        (num_architectures,) = connection.sql("SELECT count(DISTINCT (space, arch_id)) FROM scores").fetchall()[0]
    return {
        "name": dataset.storage.root.rstrip("/").rpartition("/")[2],
        "version": __version__,
        "schema_version": manifest.schema_version,
        "fingerprint": manifest.settings.fingerprint,
        "contents": contents,
        "num_architectures": num_architectures,
        "grid": [asdict(point) for point in grid],
        "measures": [
            {
                "name": one.name,
                "version": one.version,
                "num_values": one.num_values,
                "num_lacking": one.num_lacking + one.num_failed,
                "formula": known[one.name].formula if one.name in known else "of a package that is not installed here",
            }
            for one in holdings
        ],
        "predictors": {**{name: name for name in measures}, **BASELINE_TITLES},
        "correlations": correlations,
        "outdated": describe_stale(dataset, stale_joins(dataset)),
        "sql": {
            "setup": dataset.duckdb_setup(),
            "contents": f"SELECT space, images, status, count(*) AS num_rows FROM {dataset.read_parquet('scores')} "
            "GROUP BY ALL ORDER BY ALL;",
            "grid": f"SELECT space, images, batch_size, seed, count(*) AS num_rows FROM {dataset.read_parquet('scores')} "
            "GROUP BY ALL ORDER BY ALL;",
            "correlations": _correlations_sql(dataset, measures),
        },
    }


def _correlations(dataset: Dataset) -> list[dict[str, Any]]:
    """A row for each space, image source, batch size and training: Kendall's tau, and over how many architectures and seeds."""
    return [
        {
            "space": group.space,
            "images": group.images,
            "batch_size": group.batch_size,
            "num_seeds": max(one.num_seeds.values()),
            "dataset": dataset_name(one.label.dataset),
            "epochs": one.label.epochs,
            "num_architectures": max(one.num_architectures.values()),
            "tau": {name: None if math.isnan(tau) else tau for name, tau in one.tau.items()},
            "num_architectures_of": dict(one.num_architectures),
            "num_seeds_of": dict(one.num_seeds),
        }
        for group in summarise(dataset)
        for one in group.correlated
    ]


def _correlations_sql(dataset: Dataset, measures: Sequence[str]) -> str:
    """A query of the columns that are correlated: means over seeds, and null if an architecture lacks the value of a seed."""
    seeds = {name: quoted(f"seeds of {name}") for name in measures}
    counted = "".join(
        f", count(DISTINCT seed) FILTER ({quoted(name)} IS NOT NULL) AS {column}" for name, column in seeds.items()
    )
    means = "".join(
        f"CASE WHEN count({quoted(name)}) = any_value({column}) THEN avg({quoted(name)}) END AS {quoted(name)}, "
        for name, column in seeds.items()
    )
    baselines = ", ".join(f"any_value({name}) AS {name}" for name in BASELINES)
    return (
        f"WITH joined AS (FROM {dataset.read_parquet('joined')} WHERE split = 'test' "
        "QUALIFY epochs = max(epochs) OVER (PARTITION BY space, dataset)), "
        f"seeds AS (SELECT space, images, batch_size{counted} FROM joined GROUP BY ALL) "
        f"SELECT space, images, batch_size, dataset, epochs, arch_id, {means}any_value(accuracy) AS accuracy, {baselines} "
        "FROM joined JOIN seeds USING (space, images, batch_size) GROUP BY ALL;"
    )


_CONTENTS = """
    SELECT space, images, count(*), count(DISTINCT arch_id),
        count(*) FILTER (status = 'ok'), count(*) FILTER (status = 'singular'), count(*) FILTER (status = 'failed'),
        list_sort(list(DISTINCT batch_size)), list_sort(list(DISTINCT seed)),
        list_sort(list(DISTINCT concat(engine, ', ', dtype, ', ', device))), round(sum(seconds), 1)
    FROM scores GROUP BY ALL ORDER BY ALL
"""
