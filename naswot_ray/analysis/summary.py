"""The short summary that a run ends with: rows, best architectures, rank correlation with accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import kendalltau

from naswot_ray.dataset.opening import Dataset

NUM_BEST = 5

PREDICTORS = ("score", "params", "flops", "num_layers")
"""The mean score over seeds, and the baselines that it has to beat."""


@dataclass(frozen=True)
class Group:
    """The scores of a space on one image source at one batch size.

    Attributes:
        num_seeds, num_rows, num_singular, num_failed: what there is.
        best: (arch_id, mean score over seeds) of the highest, best first.
        tau: dataset -> predictor -> Kendall's tau-b with the mean test accuracy at the most epochs there are, over all joined
            architectures without a failed row; singular ones rank last. Predictors are `PREDICTORS`. NaN where either side has
            one value only.
        num_joined: dataset -> how many architectures that is.
    """

    space: str
    images: str
    batch_size: int
    num_seeds: int
    num_rows: int
    num_singular: int
    num_failed: int
    best: list[tuple[str, float]]
    tau: dict[str, dict[str, float]]
    num_joined: dict[str, int]


def summarise(dataset: Dataset) -> list[Group]:
    """Summarise a dataset per (space, image source, batch size)."""
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        groups = connection.execute(
            """
            SELECT space, images, batch_size, count(DISTINCT seed), count(*),
                count(*) FILTER (status = 'singular'), count(*) FILTER (status = 'failed')
            FROM scores GROUP BY ALL ORDER BY ALL
            """
        ).fetchall()
        summary = []
        for space, images, batch_size, num_seeds, num_rows, num_singular, num_failed in groups:
            key = [space, images, batch_size]
            best = connection.execute(
                f"""
                SELECT arch_id, avg(score) AS mean FROM scores WHERE {_KEY} AND score IS NOT NULL
                GROUP BY arch_id ORDER BY mean DESC, arch_id LIMIT {NUM_BEST}
                """,
                key,
            ).fetchall()
            joined: dict[str, list[tuple[float, ...]]] = {}
            for name, *values in connection.execute(_JOINED, [*key, *key]).fetchall():
                joined.setdefault(name, []).append(tuple(values))
            tau = {name: _taus(rows) for name, rows in joined.items()}
            num_joined = {name: len(rows) for name, rows in joined.items()}
            summary.append(
                Group(space, images, batch_size, num_seeds, num_rows, num_singular, num_failed, best, tau, num_joined)
            )
    return summary


def _taus(rows: list[tuple[float, ...]]) -> dict[str, float]:
    """Kendall's tau-b of each predictor; NaN where there is no order to compare. Rows are (accuracy, *PREDICTORS)."""
    accuracies, *columns = zip(*rows, strict=True)
    return {
        predictor: math.nan if len(rows) < 2 or None in column else float(kendalltau(column, accuracies).statistic)
        for predictor, column in zip(PREDICTORS, columns, strict=True)
    }


_KEY = "space = ? AND images = ? AND batch_size = ?"

# avg of a column that holds -inf is -inf, as it should be.
_JOINED = f"""
    WITH longest AS (
        SELECT dataset, max(epochs) AS epochs FROM joined WHERE {_KEY} AND split = 'test' GROUP BY dataset
    )
    SELECT dataset, any_value(accuracy), avg(score), any_value(params), any_value(flops), any_value(num_layers)
    FROM joined JOIN longest USING (dataset, epochs)
    WHERE {_KEY} AND split = 'test'
    GROUP BY dataset, arch_id HAVING count(*) = count(score)
    ORDER BY dataset, arch_id
"""
