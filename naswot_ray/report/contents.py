"""What the page tells of a dataset as a whole: its rows, its grid and its rank correlations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from naswot_ray import __version__
from naswot_ray.analysis.columns import dataset_name
from naswot_ray.analysis.summary import PREDICTORS, summarise
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import describe_stale, stale_joins


@dataclass(frozen=True)
class GridCount:
    """The rows of a point of the grid: how many runs were asked for, how many are there, and how many of these failed."""

    space: str
    images: str
    batch_size: int
    seed: int
    wanted: int
    present: int
    failed: int


def describe(dataset: Dataset, grid: Iterable[GridCount]) -> dict[str, Any]:
    """The page's tables, as JSON values.

    Args:
        dataset: what to describe.
        grid: its coverage.
    """
    manifest = dataset.manifest
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
        "correlations": _correlations(dataset),
        "outdated": describe_stale(dataset, stale_joins(dataset)),
        "sql": {
            "setup": dataset.duckdb_setup(),
            "contents": f"SELECT space, images, status, count(*) AS num_rows FROM {dataset.read_parquet('scores')} "
            "GROUP BY ALL ORDER BY ALL;",
            "grid": f"SELECT space, images, batch_size, seed, count(*) AS num_rows FROM {dataset.read_parquet('scores')} "
            "GROUP BY ALL ORDER BY ALL;",
            "correlations": f"WITH joined AS (FROM {dataset.read_parquet('joined')} WHERE split = 'test' "
            "QUALIFY epochs = max(epochs) OVER (PARTITION BY space, dataset)), seeds AS "
            "(SELECT space, images, batch_size, count(DISTINCT seed) AS num_seeds FROM joined GROUP BY ALL) "
            "SELECT space, images, batch_size, dataset, epochs, arch_id, avg(score) AS score, "
            "any_value(accuracy) AS accuracy, any_value(params) AS params, any_value(flops) AS flops, "
            "any_value(num_layers) AS num_layers FROM joined JOIN seeds USING (space, images, batch_size) GROUP BY ALL "
            "HAVING count(score) = any_value(num_seeds);",
        },
    }


def _correlations(dataset: Dataset) -> list[dict[str, Any]]:
    return [
        {
            "space": group.space,
            "images": group.images,
            "batch_size": group.batch_size,
            "num_seeds": group.num_joined_seeds,
            "dataset": dataset_name(trained_on),
            "epochs": group.epochs[trained_on],
            "num_architectures": group.num_joined[trained_on],
            **{name: None if math.isnan(tau[name]) else tau[name] for name in PREDICTORS},
        }
        for group in summarise(dataset)
        for trained_on, tau in group.tau.items()
    ]


_CONTENTS = """
    SELECT space, images, count(*), count(DISTINCT arch_id),
        count(*) FILTER (status = 'ok'), count(*) FILTER (status = 'singular'), count(*) FILTER (status = 'failed'),
        list_sort(list(DISTINCT batch_size)), list_sort(list(DISTINCT seed)),
        list_sort(list(DISTINCT concat(engine, ', ', dtype, ', ', device))), round(sum(seconds), 1)
    FROM scores GROUP BY ALL ORDER BY ALL
"""
