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
from naswot_ray.dataset.parts import Expected
from naswot_ray.dataset.runs import GridRecord

MIN_SHARD_SIZE, MAX_SHARD_SIZE, MAX_SAMPLED_SHARD_SIZE = 32, 256, 1024
ENOUGH_SHARDS = 500


@dataclass(frozen=True, slots=True)
class Batch:
    """The images of a shard: an image source, the batch size N and the seed (which also keys the weights)."""

    images: str
    batch_size: int
    seed: int


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the grid: a space on one batch.

    Attributes:
        space: name.
        batch: None for the space's rows of the architectures table.
    """

    space: str
    batch: Batch | None

    def __str__(self) -> str:
        if self.batch is None:
            return f"{self.space}, architectures"
        return f"{self.space}, {self.batch.images}, batch size {self.batch.batch_size}, seed {self.batch.seed}"


def fingerprint_of(settings: Settings, point: Point) -> str:
    """Of the settings that the rows of a point of the grid depend on.

    Raises:
        KeyError: the settings lack the point's space or image source.
    """
    return settings.fingerprint_of(point.space, None if point.batch is None else point.batch.images)


def point_of(file: TableFile) -> Point:
    """The point of the grid that a part of `scores` or `architectures` belongs to."""
    if file.images is None or file.batch_size is None or file.seed is None:
        return Point(file.space, None)
    return Point(file.space, Batch(file.images, file.batch_size, file.seed))


@dataclass(frozen=True, slots=True)
class Shard:
    """A contiguous range of a space at one point of the grid.

    Attributes:
        point: of the grid.
        number: of the shard in the space.
        start, stop: the positions in the space that the shard's part holds when complete.
    """

    point: Point
    number: int
    start: int
    stop: int

    @property
    def range(self) -> range:
        """The positions in the space that the shard's part holds when complete."""
        return range(self.start, self.stop)

    @property
    def path(self) -> PurePosixPath:
        """The shard's part file."""
        batch = self.point.batch
        if batch is None:
            return layout.architectures(self.point.space, self.number)
        return layout.scores(self.point.space, batch.images, batch.batch_size, batch.seed, self.number)

    def expected(self, settings: Settings) -> Expected:
        """What the shard's part must be, to be believed.

        Raises:
            KeyError: the settings lack the shard's space or image source.
        """
        measures = settings.measures if self.point.batch is not None else {}
        return Expected(self.path, self.range, fingerprint_of(settings, self.point), measures)


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is asked to do: rows of one shard.

    Attributes:
        indices: positions in the space, ascending.
        attempts: how often it has been tried and failed its worker.
        nodes_lost: how often the worker's whole machine went, which says little about the task.
    """

    shard: Shard
    indices: Sequence[int]
    attempts: int = 0
    nodes_lost: int = 0


class Grid:
    """The shards of a run: each space's architectures, then every (space, batch size, seed).

    Args:
        record: what the run was asked to fill.
        shard_size: of the dataset.
    """

    def __init__(self, record: GridRecord, shard_size: int) -> None:
        self.record = record
        self.shard_size = shard_size

    def positions(self, space: str) -> Sequence[int]:
        """Which of a space's architectures the grid takes, as ascending positions in its order."""
        size = self.size(space)
        if self.record.sample is not None:
            return _sample(space, size, self.record.sample)
        return range(size if self.record.limit is None else min(self.record.limit, size))

    def measures(self, point: Point) -> tuple[str, ...]:
        """What the rows of a point are to have values of; nothing for the architectures table."""
        return self.record.measures if point.batch is not None else ()

    def batches(self) -> list[Batch]:
        """Every batch of the grid."""
        return [Batch(self.record.images, n, seed) for n in self.record.batch_sizes for seed in self.record.seeds]

    def points(self) -> list[Point]:
        """Every point, in the order in which the run takes them."""
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
        """Which of a shard's positions the grid takes."""
        positions = self.positions(shard.point.space)
        return positions[bisect_left(positions, shard.start) : bisect_left(positions, shard.stop)]

    def size(self, space: str) -> int:
        """How many architectures a space has."""
        return self.record.num_architectures[self.record.spaces.index(space)]


def default_shard_size(record: GridRecord) -> int:
    """The shard size of a new dataset, by the grid of its first run.

    256 keeps thousands of workers busy and few files on the storage (docs/scaling.md). Where that makes fewer than 500 shards,
    a smaller power of two balances them better over many workers, down to 32. A random sample lies thinly in its shards, so
    they begin at 1,024.
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
    """Ascending positions of a random sample; always the same, and part of every larger one."""
    return tuple(sorted(philox.sample_without_replacement(("sample", space), size, count).tolist()))
