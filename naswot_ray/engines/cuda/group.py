"""Merges the rows of a group's architectures into launches. Jobs that share a step and a shape are neighbours in one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from naswot_ray.engines.cuda.tables import (
    BLOCK_M,
    GRAM_PLACES,
    IMAGES,
    KEY_COLUMNS,
    PLACES,
    ROWS_PER_SPLIT,
    STEP_COLUMNS,
    TERM_PLACES,
    IntArray,
    Kind,
    Lowered,
    align,
)


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch of a kernel: `num_jobs` jobs of a kind's table from `first_job` on, and the shape that they share."""

    kind: Kind
    shape: tuple[int, int, int, int]
    first_job: int
    num_jobs: int

    def tiles(self, num_images: int) -> int:
        """Number of tiles of `BLOCK_M` rows. A row is a pixel of an image."""
        return -(-self.shape[2] * num_images // BLOCK_M)

    def splits(self, num_images: int) -> int:
        """Number of parts into which a covariance's rows are divided; each part is added up separately."""
        return -(-self.shape[2] * num_images // ROWS_PER_SPLIT)

    def partials(self, num_images: int) -> int:
        """Number of elements that the statistics of all tiles take, or the products of all splits."""
        block, blocks = self.shape[:2]
        if self.kind == Kind.COVARIANCE:
            return self.num_jobs * self.splits(num_images) * (block * blocks) ** 2
        has_any = self.kind in (Kind.CONVOLVE, Kind.CONVOLVE_GROUPS, Kind.MEASURE)
        return 2 * self.num_jobs * self.tiles(num_images) * block * blocks if has_any else 0


@dataclass(frozen=True, slots=True)
class Merged:
    """A group, ready to run.

    Attributes:
        jobs: kind -> its table, in order of execution.
        terms: the terms of all combinations.
        grams: the Gram jobs.
        launches: the launches, in order of execution.
        bases: array -> where each architecture's elements begin in it, shape (architectures,).
        sizes: array -> its number of elements, for all architectures together.
        num_units: N_A as the published code counts it and as the paper does, shape (architectures, 2).
        tensor_units: number of units of each coded tensor, of all architectures, shape (tensors,).
    """

    jobs: Mapping[Kind, IntArray]
    terms: IntArray
    grams: IntArray
    launches: Sequence[Launch]
    bases: Mapping[str, IntArray]
    sizes: Mapping[str, int]
    num_units: IntArray
    tensor_units: IntArray


def merge(group: Sequence[Lowered], num_image_elements: int) -> Merged:
    """Merge architectures. The images, `num_image_elements` elements in all, lie at the head of the arena."""
    bases: dict[str, IntArray] = {"architectures": np.arange(len(group))}
    sizes: dict[str, int] = {}
    for name in ("arena", "stats", "weights", "words", "covariances", "firsts"):
        bases[name], sizes[name] = _bases((one.sizes[name] for one in group), align(num_image_elements) * (name == "arena"))
    bases["terms"], _ = _bases(len(one.terms) for one in group)
    bases["tensors"], _ = _bases(len(one.tensor_units) for one in group)
    jobs: dict[Kind, IntArray] = {}
    launches: list[tuple[tuple[int, ...], Launch]] = []
    for kind in Kind:
        tables = [one.jobs[kind] if kind in one.jobs else np.empty((0, KEY_COLUMNS), np.int64) for one in group]
        if any(len(table) for table in tables):
            places = {name: tuple(KEY_COLUMNS + c for c in columns) for name, columns in PLACES[kind].items()}
            rows = _concatenate(tables, places, bases)
            rows = rows[np.lexsort(rows[:, :KEY_COLUMNS].T[::-1])]
            launches += _launches(kind, rows[:, :KEY_COLUMNS])
            jobs[kind] = rows[:, KEY_COLUMNS:]
    return Merged(
        jobs,
        _concatenate([one.terms for one in group], TERM_PLACES, bases),
        _concatenate([one.grams for one in group], GRAM_PLACES, bases),
        [launch for _, launch in sorted(launches, key=lambda entry: entry[0])],
        bases,
        sizes,
        np.array([one.num_units for one in group], np.int64),
        np.array([units for one in group for units in one.tensor_units], np.int64),
    )


def _bases(sizes: Iterable[int], start: int = 0) -> tuple[IntArray, int]:
    """Where arrays of these sizes begin if they follow each other from `start` on, and where the last one ends."""
    ends = list(accumulate(sizes, initial=start))
    return np.array(ends[:-1], np.int64), ends[-1]


def _concatenate(tables: Sequence[IntArray], places: Mapping[str, tuple[int, ...]], bases: Mapping[str, IntArray]) -> IntArray:
    """Concatenate the rows of all architectures, and make their offsets absolute."""
    filled = [table for table in tables if len(table)]
    if not filled:
        return np.empty((0, 0), np.int64)
    rows = np.concatenate(filled)
    owner = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    for name, columns in places.items():
        for column in columns:
            values = rows[:, column]
            rows[:, column] = np.where(values >= 0, values + bases[name][owner], np.where(values == IMAGES, 0, values))
    return rows


def _launches(kind: Kind, keys: IntArray) -> list[tuple[tuple[int, ...], Launch]]:
    """Find the runs of rows with equal keys. Each becomes a launch, returned with its sort key in the order of execution."""
    starts = np.flatnonzero(np.r_[True, (keys[1:] != keys[:-1]).any(axis=1)])
    found = []
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(keys)], strict=True):
        key = tuple(keys[start].tolist())
        shape = key[STEP_COLUMNS:]
        found.append(((*key[:STEP_COLUMNS], kind, *shape), Launch(kind, shape, start, end - start)))
    return found
