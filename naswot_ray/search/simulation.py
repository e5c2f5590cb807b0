"""Searching a dataset: scores and accuracies are looked up, and cost what they cost when they were computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt

from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.label import Label
from naswot_ray.errors import SettingsError
from naswot_ray.search.problem import Problem
from naswot_ray.spaces import Space

DATASET: Final = "cifar10"
"""What the accuracy of a result is measured on, unless said otherwise."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lookup:
    """What a dataset knows of the architectures of a space that have both a score and the accuracies asked for.

    Attributes:
        space: the space.
        indices: positions in the space, ascending, shape (n,).
        seeds: of the scores.
        scores, score_seconds: shape (seeds, n); -inf for singular ones, NaN for failed ones.
        selected: accuracies in percent that algorithms see, shape (n,); None if none were asked for.
        training_seconds: shape (n,); None if the dataset does not tell.
        reported: accuracies in percent of the result, shape (n,).
        reported_key, selected_key: which accuracies these are.
        images, batch_size: of the scores.
    """

    space: Space
    indices: npt.NDArray[np.int64]
    seeds: tuple[int, ...]
    scores: Array
    score_seconds: Array
    selected: Array | None
    training_seconds: Array | None
    reported: Array
    reported_key: Label | None = None
    selected_key: Label | None = None
    images: str = ""
    batch_size: int = 0

    @cached_property
    def number_of(self) -> dict[int, int]:
        """Position in the space -> position here."""
        return {int(index): number for number, index in enumerate(self.indices)}


def read(
    dataset: Dataset, space: Space, images: str, batch_size: int, reported: Label | None, selected: Label | None
) -> Lookup:
    """Read what a search needs.

    Args:
        dataset, space, images, batch_size: which scores.
        reported: accuracy of the result; None for `DATASET`/test after the most epochs.
        selected: what algorithms that train see; None if none of them trains.

    Raises:
        SettingsError: the dataset lacks scores or accuracies; says which there are.
    """
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        reported = reported or _longest(connection, space.name)
        if reported is None:
            there = _there(connection, space.name)
            raise SettingsError(f"{dataset.storage.root} has no {DATASET} test accuracies of {there}: say which with --report")
        accuracies = {}
        for key in (reported, selected):
            if key is None:
                continue
            found = connection.execute(
                "SELECT arch_id, accuracy, training_seconds FROM accuracies "
                "WHERE space = ? AND dataset = ? AND split = ? AND epochs = ? AND seed IS NULL",
                [space.name, key.dataset, key.split, key.epochs],
            ).fetchall()
            if not found:
                raise SettingsError(f"{dataset.storage.root} has no accuracies {key} of {_there(connection, space.name)}")
            accuracies[key] = {arch_id: (accuracy, seconds) for arch_id, accuracy, seconds in found}
        rows = connection.execute(
            "SELECT seed, arch_id, arch_index, score, seconds FROM scores "
            "WHERE space = ? AND images = ? AND batch_size = ? ORDER BY seed, arch_index",
            [space.name, images, batch_size],
        ).fetchall()
    if not rows:
        raise SettingsError(f"{dataset.storage.root} has no scores of {space.name} on {images} at batch size {batch_size}")
    seeds = tuple(sorted({row[0] for row in rows}))
    by_seed: dict[int, dict[str, tuple[float, float]]] = {seed: {} for seed in seeds}
    index_of: dict[str, int] = {}
    for seed, arch_id, index, score, seconds in rows:
        by_seed[seed][arch_id] = (np.nan if score is None else score, seconds)
        index_of[arch_id] = index
    everywhere = [*by_seed.values(), *accuracies.values()]
    common = sorted((a for a in index_of if all(a in known for known in everywhere)), key=index_of.__getitem__)
    if not common:
        raise SettingsError(f"{dataset.storage.root}: no architecture of {space.name} has both a score and an accuracy")
    trained = None if selected is None else [accuracies[selected][a] for a in common]
    times = None if trained is None else np.array([np.nan if seconds is None else seconds for _, seconds in trained])
    return Lookup(
        space=space,
        indices=np.array([index_of[a] for a in common]),
        seeds=seeds,
        scores=np.array([[by_seed[seed][a][0] for a in common] for seed in seeds]),
        score_seconds=np.array([[by_seed[seed][a][1] for a in common] for seed in seeds]),
        selected=None if trained is None else np.array([accuracy for accuracy, _ in trained]),
        training_seconds=None if times is None or np.isnan(times).any() else times,
        reported=np.array([accuracies[reported][a][0] for a in common]),
        reported_key=reported,
        selected_key=selected,
        images=images,
        batch_size=batch_size,
    )


def _longest(connection: duckdb.DuckDBPyConnection, space: str) -> Label | None:
    row = connection.execute(
        "SELECT max(epochs) FROM accuracies WHERE space = ? AND dataset = ? AND split = 'test' AND seed IS NULL",
        [space, DATASET],
    ).fetchone()
    return Label(DATASET, "test", row[0]) if row and row[0] is not None else None


def _there(connection: duckdb.DuckDBPyConnection, space: str) -> str:
    """The space, and which accuracies of it there are."""
    found = connection.execute(
        "SELECT DISTINCT concat_ws('/', dataset, split, epochs) FROM accuracies WHERE space = ? ORDER BY 1", [space]
    ).fetchall()
    return f"{space}; it has {', '.join(name for (name,) in found) or 'none; add them with `naswot-ray accuracies`'}"


class SimulatedProblem(Problem):
    """A search of what a dataset knows, with the scores of one seed.

    Args:
        lookup: what it knows.
        seed_number: position in `lookup.seeds`.
    """

    def __init__(self, lookup: Lookup, seed_number: int) -> None:
        self._lookup = lookup
        self.size = len(lookup.indices)
        self._scores = np.nan_to_num(lookup.scores[seed_number], nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        self._score_seconds = lookup.score_seconds[seed_number]
        self._neighbours: dict[int, Sequence[int]] = {}

    def arch_id(self, number: int) -> str:
        return self._lookup.space[int(self._lookup.indices[number])]

    def score(self, number: int) -> tuple[float, float]:
        return float(self._scores[number]), float(self._score_seconds[number])

    def train(self, number: int) -> tuple[float, float]:
        lookup = self._lookup
        if lookup.selected is None:
            raise SettingsError("an algorithm that trains needs an accuracy to select by: --select DATASET/SPLIT/EPOCHS")
        seconds = 0.0 if lookup.training_seconds is None else float(lookup.training_seconds[number])
        return float(lookup.selected[number]), seconds

    def reported_accuracy(self, number: int) -> float | None:
        return float(self._lookup.reported[number])

    def neighbours(self, number: int) -> Sequence[int]:
        if number not in self._neighbours:
            lookup = self._lookup
            if self.size < len(lookup.space):
                raise SettingsError(
                    f"{self.size:,} of the {len(lookup.space):,} architectures of {lookup.space.name} have a score and an "
                    "accuracy; an algorithm that goes to neighbours needs them all"
                )
            space = lookup.space
            self._neighbours[number] = [lookup.number_of[space.index(a)] for a in space.neighbours(self.arch_id(number))]
        return self._neighbours[number]
