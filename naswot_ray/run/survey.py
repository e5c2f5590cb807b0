"""What a dataset holds of a grid, at one moment: one listing per table, and a look at the parts that no receipt tells of."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from naswot_ray.dataset import layout, parts, receipts
from naswot_ray.dataset.parts import PartState, WrittenPart
from naswot_ray.dataset.storage import Storage, StoredFile
from naswot_ray.run.grid import Grid, Point, Shard, Task, point_of

NUM_READERS = 16
"""Footers read at once: reading one waits for the storage, not for the processor."""

_EMPTY = PartState()


@dataclass(slots=True)
class Coverage:
    """How many rows a point of the grid should have and does have."""

    wanted: int = 0
    present: int = 0
    failed: int = 0


class Survey:
    """The state of every part of a grid.

    Args:
        grid: what is wanted.
        storage: the dataset.

    Attributes:
        inspected: the parts that no receipt told of.

    Raises:
        DatasetError: a part that was looked into is damaged.
    """

    def __init__(self, grid: Grid, storage: Storage) -> None:
        self._grid = grid
        self._states: dict[Point, dict[int, PartState]] = {}
        self.inspected: list[WrittenPart] = []
        known = receipts.read_all(storage)
        there = _list_parts(storage)
        with ThreadPoolExecutor(NUM_READERS) as pool:
            for point in grid.points():
                states: dict[int, PartState] = {}
                unknown: list[tuple[Shard, int]] = []
                numbers = set(grid.numbers(point))
                for number, file in there.get(point, ()):
                    if number not in numbers:
                        continue
                    receipt = known.get(file.path)
                    if receipt is not None and receipt.size == file.size:
                        states[number] = receipt.state
                    else:
                        unknown.append((grid.shard(point, number), file.size))
                for (shard, _), written in zip(unknown, pool.map(lambda item: _inspect(storage, *item), unknown), strict=True):
                    states[shard.number] = written.state
                    self.inspected.append(written)
                self._states[point] = states

    def missing(self, *, retry_failed: bool = False, backwards: bool = False) -> Iterator[Task]:
        """The tasks that are left to do, one after the other: there may be hundreds of thousands.

        Args:
            retry_failed: whether rows whose status is `failed` are to be done again.
            backwards: the last shard first, for a run that shares the dataset with another one.
        """
        for shard, state in self._shards(backwards):
            wanted = self._grid.wanted(shard)
            if state is _EMPTY:
                yield Task(shard, wanted)
            elif state.present != shard.range or (retry_failed and state.failed):
                done = frozenset(state.present) - state.failed if retry_failed else state.present
                if todo := tuple(i for i in wanted if i not in done):
                    yield Task(shard, todo)

    def coverage(self) -> dict[Point, Coverage]:
        """How many rows each point wants and has."""
        found = {point: Coverage() for point in self._grid.points()}
        for shard, state in self._shards():
            wanted, coverage = self._grid.wanted(shard), found[shard.point]
            coverage.wanted += len(wanted)
            if state.present == shard.range and not state.failed:
                coverage.present += len(wanted)
            else:
                coverage.present += sum(i in state.present for i in wanted)
                coverage.failed += sum(i in state.failed for i in wanted)
        return found

    def _shards(self, backwards: bool = False) -> Iterator[tuple[Shard, PartState]]:
        """Range by range, all points of a range side by side; a space's rows of the architectures table come first."""
        in_turn = reversed if backwards else iter
        of_space: dict[str, list[Point]] = {}
        for point in self._grid.points():
            of_space.setdefault(point.space, []).append(point)
        for points in in_turn(list(of_space.values())):
            for some in in_turn([[p for p in points if p.batch is None], [p for p in points if p.batch is not None]]):
                for number in in_turn(self._grid.numbers(points[0])):
                    for point in in_turn(some):
                        yield self._grid.shard(point, number), self._states[point].get(number, _EMPTY)


def _list_parts(storage: Storage) -> dict[Point, list[tuple[int, StoredFile]]]:
    """The parts that are there, with their numbers, by the point that they belong to."""
    found: dict[Point, list[tuple[int, StoredFile]]] = {}
    for folder in (layout.ARCHITECTURES, layout.SCORES):
        for file in storage.list_files(folder):
            part = layout.table_file(file.path)
            if part is not None and part.number is not None:
                found.setdefault(point_of(part), []).append((part.number, file))
    return found


def _inspect(storage: Storage, shard: Shard, size: int) -> WrittenPart:
    return WrittenPart(shard.path, size, parts.inspect(storage, shard.path, shard.range))
