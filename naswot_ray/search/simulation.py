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
from naswot_ray.dataset.schema import BASELINES
from naswot_ray.dataset.sql import literal, quoted
from naswot_ray.errors import SettingsError
from naswot_ray.search.criterion import Array, Criterion, get_criterion
from naswot_ray.search.problem import Problem, Scored
from naswot_ray.spaces import Space

DATASET: Final = "cifar10"
"""What the accuracy of a result is measured on, unless said otherwise."""

DEFAULT: Final = "naswot"
"""What a search scores by, unless said otherwise."""


@dataclass(frozen=True)
class Lookup:
    """What a dataset knows of the architectures of a space that have what a search needs: scores and accuracies.

    Attributes:
        space: the space.
        criterion: what architectures are scored by.
        indices: positions in the space, ascending, shape (n,).
        seeds: of the scores.
        parts: of the criterion, shape (seeds, n, parts); -inf where a kernel is singular, NaN where a measure failed.
        score_seconds: shape (seeds, n); the time that a row of the scores table took.
        selected: accuracies in percent that algorithms see, shape (n,); None if none were asked for.
        training_seconds: shape (n,); None if the dataset does not tell.
        reported: accuracies in percent of the result, shape (n,).
        reported_key, selected_key: which accuracies these are.
        images, batch_size: of the scores.
    """

    space: Space
    criterion: Criterion
    indices: npt.NDArray[np.int64]
    seeds: tuple[int, ...]
    parts: Array
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

    @property
    def num_failed(self) -> int:
        """How many architectures lack a part of the criterion at some seed, since a measure failed."""
        return int(np.isnan(self.parts).any(axis=(0, 2)).sum())


def choose_criterion(dataset: Dataset, space: Space, name: str | None = None) -> Criterion:
    """What to search a dataset by.

    Args:
        dataset, space: what is searched.
        name: of a measure, a baseline or a rank sum. None for `naswot` or, if no row of the space has a value of it, the first
            measure that rows have values of.

    Raises:
        SettingsError: there is nothing of that name, no row has a value of a measure, or the space has no rows.
    """
    root, columns = dataset.storage.root, ", ".join(f"count({quoted(measure)})" for measure in dataset.measures)
    with dataset.naming_damaged_files(), dataset.connect(["scores"]) as connection:
        counts = connection.execute(f"SELECT {columns} FROM scores WHERE space = ?", [space.name]).fetchone() or ()
    having = [measure for measure, count in zip(dataset.measures, counts, strict=True) if count]
    if not having:
        raise SettingsError(f"{root} has no scores of {space.name}")
    if name is None:
        name = DEFAULT if DEFAULT in having else having[0]
    criterion = get_criterion(name, dataset.measures)
    if lacking := [measure for measure in criterion.measures if measure not in having]:
        raise SettingsError(
            f"{root} has no value of {' and '.join(lacking)} for {space.name}, only of {', '.join(having)}; "
            f"`naswot-ray score` with {' '.join(f'--measure {measure}' for measure in lacking)} adds it"
        )
    return criterion


def list_scores(dataset: Dataset, space: Space, criterion: Criterion) -> list[tuple[str, int]]:
    """The image sources and batch sizes at which a dataset has rows with all measures of a criterion, sorted."""
    has = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in criterion.measures) or "true"
    with dataset.naming_damaged_files(), dataset.connect(["scores"]) as connection:
        query = f"SELECT DISTINCT images, batch_size FROM scores WHERE space = ? AND {has} ORDER BY ALL"
        return connection.execute(query, [space.name]).fetchall()


def choose_scores(
    dataset: Dataset, space: Space, criterion: Criterion, images: str | None = None, batch_size: int | None = None
) -> tuple[str, int]:
    """Which scores to search by: image source and batch size.

    Args:
        dataset, space, criterion: what is searched, and by what.
        images: None for the only image source that there are scores on.
        batch_size: None for the largest.

    Raises:
        SettingsError: there are none such, or several image sources.
    """
    points, what = list_scores(dataset, space, criterion), f"{dataset.storage.root} has values of {criterion.name}"
    sources = sorted({name for name, _ in points})
    if images is None and len(sources) == 1:
        images = sources[0]
    if images is None or images not in sources:
        raise SettingsError(f"{what} for {space.name} on {', '.join(sources) or 'no images'}: say --images")
    sizes = [n for name, n in points if name == images]
    if batch_size is not None and batch_size not in sizes:
        raise SettingsError(f"{what} at batch sizes {', '.join(map(str, sizes))}, not {batch_size}")
    return images, batch_size or max(sizes)


def read(
    dataset: Dataset,
    space: Space,
    criterion: Criterion,
    images: str,
    batch_size: int,
    *,
    reported: Label | None = None,
    selected: Label | None = None,
) -> Lookup:
    """Read what a search needs.

    An architecture without a value is left out, as if the dataset did not know it. One whose measure failed stays, and ranks
    last: a search would have met it. A seed without any value is left out as well.

    Args:
        dataset, space: what is searched.
        criterion: what architectures are scored by.
        images, batch_size: which scores.
        reported: accuracy of the result; None for `DATASET`/test after the most epochs.
        selected: what algorithms that train see; None if none of them trains.

    Raises:
        SettingsError: the dataset lacks scores or accuracies; says which there are.
    """
    root = dataset.storage.root
    with dataset.naming_damaged_files(), dataset.connect(["scores", "architectures", "accuracies"]) as connection:
        reported = reported or _longest(connection, space.name)
        if reported is None:
            there = _there(connection, space.name)
            raise SettingsError(f"{root} has no {DATASET} test accuracies of {there}: say which with --report")
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
                raise SettingsError(f"{root} has no accuracies {key} of {_there(connection, space.name)}")
            accuracies[key] = {arch_id: (accuracy, seconds) for arch_id, accuracy, seconds in found}
        rows = connection.execute(_scores_query(criterion), [space.name, images, batch_size]).fetchall()
    seeds = tuple(sorted({seed for seed, *_ in rows}))
    by_seed: dict[int, dict[str, tuple[list[float], float]]] = {seed: {} for seed in seeds}
    index_of: dict[str, int] = {}
    for seed, arch_id, index, seconds, *parts in rows:
        by_seed[seed][arch_id] = [np.nan if part is None else part for part in parts], seconds
        index_of[arch_id] = index
    everywhere = [*by_seed.values(), *accuracies.values()]
    common = sorted((a for a in index_of if all(a in known for known in everywhere)), key=index_of.__getitem__)
    if not common:
        raise SettingsError(f"{root}: no architecture of {space.name} has both {' and '.join(criterion.parts)} and an accuracy")
    trained = None if selected is None else [accuracies[selected][a] for a in common]
    times = None if trained is None else np.array([np.nan if seconds is None else seconds for _, seconds in trained])
    return Lookup(
        space=space,
        criterion=criterion,
        indices=np.array([index_of[a] for a in common]),
        seeds=seeds,
        parts=np.array([[by_seed[seed][a][0] for a in common] for seed in seeds]),
        score_seconds=np.array([[by_seed[seed][a][1] for a in common] for seed in seeds]),
        selected=None if trained is None else np.array([accuracy for accuracy, _ in trained]),
        training_seconds=None if times is None or np.isnan(times).any() else times,
        reported=np.array([accuracies[reported][a][0] for a in common]),
        reported_key=reported,
        selected_key=selected,
        images=images,
        batch_size=batch_size,
    )


def _scores_query(criterion: Criterion) -> str:
    """The rows of a point of the grid that have all parts of a criterion, or a reason why a measure has no value.

    Columns: seed, arch_id, arch_index, seconds, the parts. Parameters: space, images, batch size.
    """
    names = criterion.measures
    failed = " OR ".join(
        f"({quoted(name)} IS NULL AND (status = 'failed' OR contains(chr(10) || error, chr(10) || {literal(name + ': ')})))"
        for name in names
    )
    has = " AND ".join(f"{quoted(part)} IS NOT NULL" for part in criterion.parts)
    seconds = "seconds" if names else "0.0"
    measures = "".join(f", {quoted(name)}" for name in names)
    baselines = "".join(f", {quoted(part)}" for part in criterion.parts if part in BASELINES)
    return f"""
        WITH scored AS (
            SELECT seed, arch_id, arch_index, {seconds} AS seconds, coalesce({failed or "false"}, false) AS failed{measures}
            FROM scores WHERE space = $1 AND images = $2 AND batch_size = $3
        ), known AS (SELECT arch_id{baselines} FROM architectures WHERE space = $1)
        SELECT seed, arch_id, arch_index, seconds, {", ".join(map(quoted, criterion.parts))}
        FROM scored LEFT JOIN known USING (arch_id) WHERE failed OR ({has}) ORDER BY seed, arch_index
    """


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
        self.criterion = lookup.criterion
        self._parts = [tuple(parts) for parts in lookup.parts[seed_number].tolist()]
        self._score_seconds = lookup.score_seconds[seed_number]
        self._neighbours: dict[int, Sequence[int]] = {}

    def arch_id(self, number: int) -> str:
        return self._lookup.space[int(self._lookup.indices[number])]

    def score(self, number: int) -> Scored:
        return self._parts[number], float(self._score_seconds[number])

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
