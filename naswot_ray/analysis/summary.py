"""The short summary that a run ends with: rows, best architectures, rank correlations with accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import numpy as np

from naswot_ray.analysis.correlation import FloatArray, Ranked, kendall
from naswot_ray.analysis.scores import SpaceScores, batches_with_values, mean_over_seeds
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import unfinished_joins
from naswot_ray.dataset.label import Label
from naswot_ray.dataset.sql import quoted

NUM_BEST = 5

MAIN_MEASURE = "naswot"
"""The measure that is shown where one has to be chosen and nobody did."""


@dataclass(frozen=True)
class Correlated:
    """Kendall's tau-b of predictors with the mean test accuracy of one training.

    Measures count with their mean over seeds, over all joined architectures that have a value for every seed; singular ones
    rank last.

    Attributes:
        label: the accuracies.
        tau: measures in the dataset's order, then baselines -> tau; NaN where either side has one value only, or where a
            baseline is unknown for some.
        num_architectures: predictor -> how many there are. Baselines are over the architectures that have some measure.
        num_seeds: measure -> how many seeds of joined rows its mean is over; others than `Group.num_seeds` if more was scored
            after the join.
    """

    label: Label
    tau: Mapping[str, float]
    num_architectures: Mapping[str, int]
    num_seeds: Mapping[str, int]


@dataclass(frozen=True)
class Group:
    """The scores of a space on one image source at one batch size.

    Attributes:
        num_seeds, num_rows, num_singular, num_failed: what there is.
        num_values: measure -> rows with a value; measures without any are left out.
        measure: the one that `best` is sorted by: `MAIN_MEASURE`, or the first that has values; None if none has.
        num_measure_seeds: seeds on which that one has values.
        best: (arch_id, mean over seeds) of the highest of the architectures with a value for every such seed, best first.
        num_complete: how many architectures these are.
        correlated: one for each data set that the space was trained on.
    """

    space: str
    images: str
    batch_size: int
    num_seeds: int
    num_rows: int
    num_singular: int
    num_failed: int
    num_values: Mapping[str, int] = field(default_factory=dict)
    measure: str | None = None
    num_measure_seeds: int = 0
    best: tuple[tuple[str, float], ...] = ()
    num_complete: int = 0
    correlated: tuple[Correlated, ...] = ()


def summarise(dataset: Dataset) -> list[Group]:
    """Summarise a dataset for each space, image source and batch size. Joined rows count where the join is whole."""
    unfinished = unfinished_joins(dataset)
    with dataset.naming_damaged_files(), dataset.connect(["scores", "joined"]) as connection:
        counted = ", ".join(f"count({quoted(name)})" for name in dataset.measures)
        groups = connection.execute(
            f"""
            SELECT space, images, batch_size, count(DISTINCT seed), count(*),
                count(*) FILTER (status = 'singular'), count(*) FILTER (status = 'failed'), {counted}
            FROM scores GROUP BY ALL ORDER BY ALL
            """
        ).fetchall()
        correlated: dict[tuple[str, str, int], list[Correlated]] = {}
        for space in sorted({row[0] for row in groups} - unfinished.keys()):
            scores = SpaceScores(connection, space, dataset.measures, only_main=True)
            correlated |= {(space, *key): found for key, found in _correlated(scores).items()}
        summary = []
        for row in groups:
            (space, images, batch_size), (num_seeds, num_rows, num_singular, num_failed), of_measures = (
                row[:3],
                row[3:7],
                row[7:],
            )
            num_values = {name: count for name, count in zip(dataset.measures, of_measures, strict=True) if count}
            measure = main_measure(num_values)
            best, num_complete, num_measure_seeds = _best(connection, row[:3], measure) if measure else ((), 0, 0)
            summary.append(
                Group(
                    space=space,
                    images=images,
                    batch_size=batch_size,
                    num_seeds=num_seeds,
                    num_rows=num_rows,
                    num_singular=num_singular,
                    num_failed=num_failed,
                    num_values=num_values,
                    measure=measure,
                    num_measure_seeds=num_measure_seeds,
                    best=best,
                    num_complete=num_complete,
                    correlated=tuple(correlated.get(row[:3], ())),
                )
            )
    return summary


def main_measure(measures: Iterable[str]) -> str | None:
    """`MAIN_MEASURE` if it is among some measures, or else the first of them; None of none."""
    names = list(measures)
    return MAIN_MEASURE if MAIN_MEASURE in names else next(iter(names), None)


def _best(
    connection: duckdb.DuckDBPyConnection, key: Sequence[object], measure: str
) -> tuple[tuple[tuple[str, float], ...], int, int]:
    """`Group.best`, `Group.num_complete` and `Group.num_measure_seeds`."""
    name, where = quoted(measure), "space = ? AND images = ? AND batch_size = ?"
    ((num_seeds,),) = connection.execute(
        f"SELECT count(DISTINCT seed) FROM scores WHERE {where} AND {name} IS NOT NULL", key
    ).fetchall()
    best = connection.execute(
        f"""
        SELECT arch_id, avg({name}) AS mean, count(*) OVER () FROM scores WHERE {where}
        GROUP BY arch_id HAVING count({name}) = ? ORDER BY mean DESC, arch_id LIMIT {NUM_BEST}
        """,
        [*key, num_seeds],
    ).fetchall()
    return tuple((arch_id, mean) for arch_id, mean, _ in best), best[0][2] if best else 0, num_seeds


def _correlated(scores: SpaceScores) -> dict[tuple[str, int], list[Correlated]]:
    """`Group.correlated` of every image source and batch size of a space."""
    means: dict[tuple[str, int], dict[str, tuple[FloatArray, int]]] = {}
    for name in scores.measures:
        columns = scores.values(name)
        for group in scores.groups():
            if batches := batches_with_values(columns, *group):
                means.setdefault(group, {})[name] = mean_over_seeds(columns, batches), len(batches)
    found: dict[tuple[str, int], list[Correlated]] = {}
    for group, of_group in means.items():
        for label in scores.labels:
            trained = ~np.isnan(scores.accuracies[label])
            used = {name: trained & ~np.isnan(mean) for name, (mean, _) in of_group.items()}
            used = {name: mask for name, mask in used.items() if mask.any()}
            if not used:
                continue
            covered = np.logical_or.reduce(list(used.values()))
            compared = {name: (of_group[name][0], mask) for name, mask in used.items()}
            compared |= {name: (values, covered) for name, values in scores.baselines.items()}
            tau = {name: _tau(values[mask], scores.accuracies[label][mask]) for name, (values, mask) in compared.items()}
            counts = {name: int(mask.sum()) for name, (_, mask) in compared.items()}
            found.setdefault(group, []).append(Correlated(label, tau, counts, {name: of_group[name][1] for name in used}))
    return found


def _tau(values: FloatArray, accuracies: FloatArray) -> float:
    return math.nan if np.isnan(values).any() else kendall(Ranked(values), Ranked(accuracies)).value
