"""How many of the rows that its runs were asked for a dataset holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.part_state import PartState
from naswot_ray.grid.grid import Grid, Point, Shard
from naswot_ray.grid.holdings import Holding, holdings_of
from naswot_ray.grid.inventory import Inventory
from naswot_ray.grid.survey import Coverage


@dataclass(frozen=True)
class Contents:
    """What a dataset holds.

    Attributes:
        coverage: point of the grid -> how many rows runs asked for there, and how many exist.
        holdings: one entry per measure, in the order of the columns. Untrusted parts are not counted.
    """

    coverage: dict[Point, Coverage]
    holdings: list[Holding]


def coverage_of(dataset: Dataset, *, fresh: bool = False) -> dict[Point, Coverage]:
    """Return only the coverage; see `contents_of`."""
    return contents_of(dataset, fresh=fresh).coverage


def contents_of(dataset: Dataset, *, fresh: bool = False) -> Contents:
    """Compare what a dataset holds with what its runs were asked for.

    A row is wanted if a run asked for it and that run's plan has not been withdrawn. Points that have rows but no plan come
    last.

    Args:
        dataset: the dataset.
        fresh: whether to read every part again, including those that have been verified before.

    Raises:
        DatasetError: a part cannot be read, or the record of a run is damaged.
    """
    shard_size = dataset.manifest.shard_size
    grids = [Grid(record, shard_size) for record in dict.fromkeys(run.grid for run in dataset.runs if not run.withdrawn)]
    inventory = Inventory(dataset.storage, dataset.manifest.settings, fresh=fresh)
    asking: dict[Point, list[Grid]] = {}
    for grid in grids:
        for point in grid.points():
            asking.setdefault(point, []).append(grid)
    demands: dict[tuple[str, bool, tuple[Grid, ...]], _Demand] = {}
    of_points: dict[Point, _Demand] = {}
    for point in [*asking, *(point for point in inventory.points if point not in asking)]:
        key = point.space, point.batch is None, tuple(asking.get(point, ()))
        if key not in demands:
            demands[key] = _Demand.of(point, key[2])
        of_points[point] = demands[key]
    shards = {
        point: [_shard(point, number, shard_size, len(demand.rows) or None) for number in inventory.numbers(point)]
        for point, demand in of_points.items()
    }
    states = inventory.states(shard for some in shards.values() for shard in some)
    coverage = {point: _coverage(demand, shards[point], states, inventory.faults) for point, demand in of_points.items()}
    with_scores = (state for shard, state in states.items() if shard.point.batch is not None)
    return Contents(coverage, holdings_of(dataset.manifest.settings.measures, with_scores))


Mask = npt.NDArray[np.bool_]
"""A bool for each position of a space."""


@dataclass(frozen=True)
class _Demand:
    """The rows and measures that some grids ask for at one point.

    Attributes:
        rows: the rows that at least one grid asks for.
        measures: measure -> the rows that need a value of it.
        num_rows: how many rows are asked for.
    """

    rows: Mask
    measures: Mapping[str, Mask]
    num_rows: int

    @classmethod
    def of(cls, point: Point, grids: Sequence[Grid]) -> _Demand:
        rows = _mask(grids, point.space)
        names = dict.fromkeys(name for grid in grids for name in grid.measures(point))
        measures = {name: _mask([g for g in grids if name in g.measures(point)], point.space) for name in names}
        return cls(rows, measures, int(rows.sum()))

    def asked(self, index: int) -> tuple[str, ...]:
        """The measures that are asked for in a row."""
        return tuple(name for name, mask in self.measures.items() if index < len(mask) and mask[index])

    def is_wanted(self, index: int) -> bool:
        """Whether at least one grid asks for a row."""
        return index < len(self.rows) and bool(self.rows[index])


def _mask(grids: Iterable[Grid], space: str) -> Mask:
    """The positions of a space that are in at least one of the grids."""
    wanted = np.zeros(max((grid.size(space) for grid in grids), default=0), np.bool_)
    for grid in grids:
        positions = grid.positions(space)
        if isinstance(positions, range):
            wanted[positions.start : positions.stop] = True
        else:
            wanted[list(positions)] = True
    return wanted


def _coverage(
    demand: _Demand, shards: Iterable[Shard], states: Mapping[Shard, PartState], faults: Collection[PurePosixPath]
) -> Coverage:
    coverage = Coverage(wanted=demand.num_rows)
    for shard in shards:
        if shard.path in faults:
            coverage.untrusted += 1
        elif shard in states:
            _count(coverage, demand, shard, states[shard])
    return coverage


def _count(coverage: Coverage, demand: _Demand, shard: Shard, state: PartState) -> None:
    """Add the rows of a part to a point's coverage."""
    if state.is_whole(shard.range, demand.measures):
        num_wanted = int(demand.rows[shard.start : shard.stop].sum())
        coverage.present += num_wanted
        coverage.unplanned += len(shard.range) - num_wanted
        return
    for index in state.present:
        if not demand.is_wanted(index):
            coverage.unplanned += 1
            continue
        measures = demand.asked(index)
        coverage.present += state.has(index, measures)
        coverage.failed += state.has_failed(index, measures)


def _shard(point: Point, number: int, shard_size: int, size: int | None) -> Shard:
    start = number * shard_size
    stop = start + shard_size
    return Shard(point, number, start, stop if size is None else max(start, min(stop, size)))
