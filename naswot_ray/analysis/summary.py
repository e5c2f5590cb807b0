"""The short summary that a run ends with: rows, best architectures, rank correlation with accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from naswot_ray.analysis.correlation import Ranked, kendall
from naswot_ray.analysis.scores import BASELINES, Point, SpaceScores
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import unfinished_joins

NUM_BEST = 5

PREDICTORS = ("score", *BASELINES)
"""The mean score over seeds, and the baselines that it has to beat."""


@dataclass(frozen=True)
class Group:
    """The scores of a space on one image source at one batch size.

    Attributes:
        num_seeds, num_rows, num_singular, num_failed: what there is.
        best: (arch_id, mean score over seeds) of the highest of the architectures with a score for every seed, best first.
        tau: dataset -> predictor -> Kendall's tau-b with the mean test accuracy at the most epochs there are, over all joined
            architectures with a score for every seed; singular ones rank last. Predictors are `PREDICTORS`. NaN where either
            side has one value only.
        num_joined: dataset -> how many architectures that is.
        num_complete: architectures with a score for every seed.
        num_joined_seeds: seeds of the joined rows, over which the scores in `tau` are means; others than `num_seeds` if more
            was scored after the join.
        epochs: dataset -> epochs of the trainings in `tau`.
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
    num_complete: int = 0
    num_joined_seeds: int = 0
    epochs: dict[str, int] = field(default_factory=dict)


def summarise(dataset: Dataset) -> list[Group]:
    """Summarise a dataset per (space, image source, batch size). Joined rows count where the join is whole."""
    unfinished = unfinished_joins(dataset)
    with dataset.naming_damaged_files(), dataset.connect(["scores", "joined"]) as connection:
        groups = connection.execute(
            """
            SELECT space, images, batch_size, count(DISTINCT seed), count(*),
                count(*) FILTER (status = 'singular'), count(*) FILTER (status = 'failed')
            FROM scores GROUP BY ALL ORDER BY ALL
            """
        ).fetchall()
        joined = {space: SpaceScores(connection, space, only_main=True) for space in {row[0] for row in groups}}
        summary = []
        for space, images, batch_size, num_seeds, num_rows, num_singular, num_failed in groups:
            best = connection.execute(
                f"""
                SELECT arch_id, avg(score) AS mean, count(*) OVER () FROM scores WHERE {_KEY}
                GROUP BY arch_id HAVING count(score) = ? ORDER BY mean DESC, arch_id LIMIT {NUM_BEST}
                """,
                [space, images, batch_size, num_seeds],
            ).fetchall()
            tau, num_joined = _taus(joined[space], images, batch_size) if space not in unfinished else ({}, {})
            summary.append(
                Group(
                    space,
                    images,
                    batch_size,
                    num_seeds,
                    num_rows,
                    num_singular,
                    num_failed,
                    [(arch_id, mean) for arch_id, mean, _ in best],
                    tau,
                    num_joined,
                    num_complete=best[0][2] if best else 0,
                    num_joined_seeds=len(joined[space].seeds_of(images, batch_size)),
                    epochs={label.dataset: label.epochs for label in joined[space].labels if label.dataset in tau},
                )
            )
    return summary


def _taus(scores: SpaceScores, images: str, batch_size: int) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """`Group.tau` and `Group.num_joined`."""
    points = [Point(images, batch_size, seed) for seed in scores.seeds_of(images, batch_size)]
    tau, num_joined = {}, {}
    for label in scores.labels if points else ():
        score = scores.mean_over_seeds(points, "score")
        used = ~np.isnan(score) & ~np.isnan(scores.accuracies[label])
        if used.any():
            accuracies = Ranked(scores.accuracies[label][used])
            columns = {name: values[used] for name, values in ({"score": score} | scores.baselines).items()}
            tau[label.dataset] = {
                name: math.nan if np.isnan(values).any() else kendall(Ranked(values), accuracies).value
                for name, values in columns.items()
            }
            num_joined[label.dataset] = int(used.sum())
    return tau, num_joined


_KEY = "space = ? AND images = ? AND batch_size = ?"
