"""Which rows of a grid a dataset holds at one moment, and which are left to compute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.part_state import PartState
from naswot_ray.dataset.runs import GridState
from naswot_ray.dataset.storage import Storage
from naswot_ray.grid.grid import Grid, Point, Shard, Task
from naswot_ray.grid.inventory import Inventory

_EMPTY = PartState()


@dataclass(slots=True)
class Coverage:
    """How many rows of a point are wanted, and how many exist.

    Attributes:
        wanted: rows that were asked for.
        present: those of them that exist with every measure that was asked for. Failed rows are included.
        failed: those of them that failed, or in which a measure failed.
        unplanned: rows that exist although no run asks for them any more.
        untrusted: parts that cannot be trusted. None of their rows counts.
    """

    wanted: int = 0
    present: int = 0
    failed: int = 0
    unplanned: int = 0
    untrusted: int = 0


class Survey:
    """The state of every part of a grid.

    Args:
        grid: the rows that are wanted.
        storage: the dataset.
        settings: the settings that its rows depend on.

    Raises:
        DatasetError: a part cannot be read.
    """

    def __init__(self, grid: Grid, storage: Storage, settings: Settings) -> None:
        self._grid = grid
        self._inventory = Inventory(storage, settings)
        shards = (grid.shard(point, number) for point in grid.points() for number in grid.numbers(point))
        self._states = self._inventory.states(shards)

    @property
    def faults(self) -> dict[PurePosixPath, str]:
        """Path -> why the part cannot be trusted, for parts of the grid. Their rows count as missing."""
        return self._inventory.faults

    def missing(self, *, retry_failed: bool = False, backwards: bool = False) -> Iterator[Task]:
        """Yield the tasks that are left to do; there may be hundreds of thousands.

        Args:
            retry_failed: whether to compute failed rows and failed measures again.
            backwards: whether to begin with the last shard, for a run that shares the dataset with another one.
        """
        for shard, state in self._shards(backwards):
            wanted, measures = self._grid.wanted(shard), self._grid.measures(shard.point)
            if state is _EMPTY:
                yield Task(shard, wanted)
            elif not state.is_whole(shard.range, measures):
                todo = tuple(i for i in wanted if state.needs(i, measures, retry_failed=retry_failed) is not None)
                if todo:
                    yield Task(shard, todo)

    def coverage(self) -> dict[Point, Coverage]:
        """How many rows of each point are wanted, and how many exist."""
        found = {point: Coverage() for point in self._grid.points()}
        for shard, state in self._shards():
            wanted, measures = self._grid.wanted(shard), self._grid.measures(shard.point)
            coverage = found[shard.point]
            coverage.wanted += len(wanted)
            if state.is_whole(shard.range, measures):
                coverage.present += len(wanted)
            else:
                coverage.present += sum(state.has(i, measures) for i in wanted)
                coverage.failed += sum(state.has_failed(i, measures) for i in wanted)
        return found

    def _shards(self, backwards: bool = False) -> Iterator[tuple[Shard, PartState]]:
        """Yield every shard and its state: a space's architectures first, then range by range the shards of all its points."""
        in_turn = reversed if backwards else iter
        of_space: dict[str, list[Point]] = {}
        for point in self._grid.points():
            of_space.setdefault(point.space, []).append(point)
        for points in in_turn(list(of_space.values())):
            for some in in_turn([[p for p in points if p.batch is None], [p for p in points if p.batch is not None]]):
                for number in in_turn(self._grid.numbers(points[0])):
                    for point in in_turn(some):
                        shard = self._grid.shard(point, number)
                        yield shard, self._states.get(shard, _EMPTY)


def state_of(survey: Survey) -> GridState:
    """Sum up how many rows of a grid a dataset holds."""
    found = survey.coverage().items()
    scores = [coverage for point, coverage in found if point.batch is not None]
    architectures = [coverage for point, coverage in found if point.batch is None]
    return GridState(
        wanted=sum(c.wanted for c in scores),
        present=sum(c.present for c in scores),
        failed=sum(c.failed for c in scores),
        missing_architectures=sum(c.wanted - c.present for c in architectures),
        failed_architectures=sum(c.failed for c in architectures),
    )
