"""The grid of a run, its shards, and the tasks that fill them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

from naswot_ray import philox
from naswot_ray.dataset import layout
from naswot_ray.dataset.layout import TableFile
from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.part_state import Expected
from naswot_ray.dataset.runs import GridRecord

MIN_SHARD_SIZE, MAX_SHARD_SIZE, MAX_SAMPLED_SHARD_SIZE = 32, 256, 1024
ENOUGH_SHARDS = 500


@dataclass(frozen=True, slots=True)
class Batch:
    """The batch of a shard: an image source, the batch size N and the seed. The seed also keys the weights."""

    images: str
    batch_size: int
    seed: int


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the grid: a space on one batch.

    Attributes:
        space: name of the space.
        batch: the batch. None stands for the space's rows of the architectures table, which need no batch.
    """

    space: str
    batch: Batch | None

    def __str__(self) -> str:
        if self.batch is None:
            return f"{self.space}, architectures"
        return f"{self.space}, {self.batch.images}, batch size {self.batch.batch_size}, seed {self.batch.seed}"


def fingerprint_of(settings: Settings, point: Point) -> str:
    """The fingerprint of the settings that the rows of a point depend on.

    Raises:
        KeyError: the settings lack the point's space or image source.
    """
    return settings.fingerprint_of(point.space, None if point.batch is None else point.batch.images)


def point_of(file: TableFile) -> Point:
    """The point that a part of `scores` or `architectures` belongs to."""
    if file.images is None or file.batch_size is None or file.seed is None:
        return Point(file.space, None)
    return Point(file.space, Batch(file.images, file.batch_size, file.seed))


@dataclass(frozen=True, slots=True)
class Shard:
    """A contiguous range of a space at one point of the grid.

    Attributes:
        point: the point of the grid.
        number: the shard's number in its space, from 0.
        start, stop: the range of positions in the space that the shard's part holds when it is complete.
    """

    point: Point
    number: int
    start: int
    stop: int

    @property
    def range(self) -> range:
        """The positions in the space that the shard's part holds when it is complete."""
        return range(self.start, self.stop)

    @property
    def path(self) -> PurePosixPath:
        """The path of the shard's part file."""
        batch = self.point.batch
        if batch is None:
            return layout.architectures(self.point.space, self.number)
        return layout.scores(self.point.space, batch.images, batch.batch_size, batch.seed, self.number)

    def expected(self, settings: Settings) -> Expected:
        """The properties that the shard's part must have to be trusted.

        Raises:
            KeyError: the settings lack the shard's space or image source.
        """
        measures = settings.measures if self.point.batch is not None else {}
        return Expected(self.path, self.range, fingerprint_of(settings, self.point), measures)


@dataclass(frozen=True, slots=True)
class Task:
    """Rows of one shard that a worker is asked to compute.

    Attributes:
        shard: the shard.
        indices: positions of the rows in the space, ascending.
        attempts: how many attempts have failed because the worker died or ran out of time.
        nodes_lost: how often the task was lost with the worker's whole machine, which says little about the task itself.
    """

    shard: Shard
    indices: Sequence[int]
    attempts: int = 0
    nodes_lost: int = 0


class Grid:
    """The shards of a run: for each space its architectures, then its scores for each batch size and seed.

    Args:
        record: what the run was asked to fill.
        shard_size: architectures per part of the dataset.
    """

    def __init__(self, record: GridRecord, shard_size: int) -> None:
        self.record = record
        self.shard_size = shard_size

    def positions(self, space: str) -> Sequence[int]:
        """The architectures of a space that are in the grid, as ascending positions in the space's order."""
        size = self.size(space)
        if self.record.sample is not None:
            return _sample(space, size, self.record.sample)
        return range(size if self.record.limit is None else min(self.record.limit, size))

    def measures(self, point: Point) -> tuple[str, ...]:
        """The measures that the rows of a point need values of; none for the architectures table."""
        return self.record.measures if point.batch is not None else ()

    def batches(self) -> list[Batch]:
        """Every batch of the grid."""
        return [Batch(self.record.images, n, seed) for n in self.record.batch_sizes for seed in self.record.seeds]

    def points(self) -> list[Point]:
        """Every point, in the order in which a run works on them."""
        return [Point(space, batch) for space in self.record.spaces for batch in (None, *self.batches())]

    def numbers(self, point: Point) -> Sequence[int]:
        """The numbers of a point's shards, ascending."""
        positions, step = self.positions(point.space), self.shard_size
        if isinstance(positions, range):
            return range(-(-len(positions) // step))
        return list(dict.fromkeys(position // step for position in positions))

    def shard(self, point: Point, number: int) -> Shard:
        """One shard of a point."""
        start = number * self.shard_size
        return Shard(point, number, start, min(start + self.shard_size, self.size(point.space)))

    def wanted(self, shard: Shard) -> Sequence[int]:
        """The positions of a shard that are in the grid."""
        positions = self.positions(shard.point.space)
        return positions[bisect_left(positions, shard.start) : bisect_left(positions, shard.stop)]

    def size(self, space: str) -> int:
        """How many architectures a space has."""
        return self.record.num_architectures[self.record.spaces.index(space)]


def default_shard_size(record: GridRecord) -> int:
    """Choose the shard size of a new dataset from the grid of its first run.

    A size of 256 keeps thousands of workers busy without filling the storage with files (docs/scaling.md). If that gives fewer
    than 500 shards, a smaller power of two, at least 32, balances the work better. A random sample takes few architectures of
    each shard, so the choice then begins at 1,024.
    """
    shard_size = MAX_SHARD_SIZE if record.sample is None else MAX_SAMPLED_SHARD_SIZE
    while shard_size > MIN_SHARD_SIZE and _num_shards(record, shard_size) < ENOUGH_SHARDS:
        shard_size //= 2
    return shard_size


def _num_shards(record: GridRecord, shard_size: int) -> int:
    per_batch = 0
    for size in record.num_architectures:
        if record.sample is None:
            per_batch += -(-min(size, record.limit or size) // shard_size)
        else:
            per_batch += min(record.sample, -(-size // shard_size))
    return per_batch * len(record.batch_sizes) * len(record.seeds)


@cache
def _sample(space: str, size: int, count: int) -> tuple[int, ...]:
    """The ascending positions of a random sample. The same sample is drawn each time, and a larger sample contains it."""
    return tuple(sorted(philox.sample_without_replacement(("sample", space), size, count).tolist()))
