"""The grid of a run, its shards, and the tasks that fill what is missing of them."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

from naswot_ray.dataset import layout, parts
from naswot_ray.dataset.parts import PartState
from naswot_ray.dataset.runs import GridRecord
from naswot_ray.dataset.storage import Storage
from naswot_ray.scoring import random


@dataclass(frozen=True, slots=True)
class Batch:
    """The images of a shard: an image source, the batch size N and the seed (which also keys the weights)."""

    images: str
    batch_size: int
    seed: int


@dataclass(frozen=True, slots=True)
class Shard:
    """A contiguous range of a space, on one batch.

    Attributes:
        space: name.
        batch: None for the shard's rows of the architectures table.
        number: of the shard in the space.
        start, stop: the positions in the space that the shard's part holds when complete.
    """

    space: str
    batch: Batch | None
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
        if self.batch is None:
            return layout.part(layout.architectures(self.space), self.number)
        b = self.batch
        return layout.part(layout.scores(self.space, b.images, b.batch_size, b.seed), self.number)


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is asked to do: rows of one shard.

    Attributes:
        indices: positions in the space, ascending.
        attempts: how often it has been tried.
    """

    shard: Shard
    indices: tuple[int, ...]
    attempts: int = 0


@dataclass(slots=True)
class Coverage:
    """How many rows a folder of parts should hold and does hold."""

    wanted: int = 0
    present: int = 0
    failed: int = 0


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
        size = self._size(space)
        if self.record.sample is not None:
            return _sample(space, size, self.record.sample)
        return range(size if self.record.limit is None else min(self.record.limit, size))

    def batches(self) -> list[Batch]:
        """Every batch of the grid."""
        return [Batch(self.record.images, n, seed) for n in self.record.batch_sizes for seed in self.record.seeds]

    def shards(self) -> Iterator[Shard]:
        """Every shard, in the order in which the run takes them."""
        for space in self.record.spaces:
            for batch in (None, *self.batches()):
                yield from self._shards_of(space, batch)

    def missing(self, storage: Storage, *, retry_failed: bool) -> list[Task]:
        """The tasks that are left to do.

        Args:
            storage: the dataset.
            retry_failed: whether rows whose status is `failed` are to be done again.

        Raises:
            DatasetError: a part is damaged.
        """
        tasks = []
        for shard, state in self._states(storage):
            done = state.present - state.failed if retry_failed else state.present
            todo = tuple(i for i in self._wanted(shard) if i not in done)
            if todo:
                tasks.append(Task(shard, todo))
        return tasks

    def coverage(self, storage: Storage) -> dict[tuple[str, Batch | None], Coverage]:
        """Per (space, batch) how many rows the grid wants and the dataset has.

        Raises:
            DatasetError: a part is damaged.
        """
        found: dict[tuple[str, Batch | None], Coverage] = defaultdict(Coverage)
        for shard, state in self._states(storage):
            wanted = self._wanted(shard)
            coverage = found[shard.space, shard.batch]
            coverage.wanted += len(wanted)
            coverage.present += sum(i in state.present for i in wanted)
            coverage.failed += sum(i in state.failed for i in wanted)
        return dict(found)

    def _shards_of(self, space: str, batch: Batch | None) -> Iterator[Shard]:
        size, step = self._size(space), self.shard_size
        for number in dict.fromkeys(position // step for position in self.positions(space)):
            yield Shard(space, batch, number, number * step, min((number + 1) * step, size))

    def _wanted(self, shard: Shard) -> Sequence[int]:
        positions = self.positions(shard.space)
        return positions[bisect_left(positions, shard.start) : bisect_left(positions, shard.stop)]

    def _size(self, space: str) -> int:
        return self.record.num_architectures[self.record.spaces.index(space)]

    def _states(self, storage: Storage) -> Iterator[tuple[Shard, PartState]]:
        # One listing a folder; a part that is there is believed only after a look at its footer.
        existing: dict[PurePosixPath, set[str]] = {}
        for shard in self.shards():
            folder = shard.path.parent
            if folder not in existing:
                existing[folder] = set(storage.list_names(folder))
            if shard.path.name in existing[folder]:
                yield shard, parts.inspect(storage, shard.path, shard.range)
            else:
                yield shard, PartState()


@cache
def _sample(space: str, size: int, count: int) -> tuple[int, ...]:
    """Ascending positions of a random sample; always the same, and part of every larger one."""
    return tuple(sorted(random.sample_without_replacement(("sample", space), size, count).tolist()))
