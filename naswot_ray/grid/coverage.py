"""What a dataset holds of what its runs were asked to fill."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.parts import PartState
from naswot_ray.grid.grid import Grid, Point, Shard
from naswot_ray.grid.inventory import Inventory
from naswot_ray.grid.survey import Coverage


def coverage_of(dataset: Dataset, *, fresh: bool = False) -> dict[Point, Coverage]:
    """Per point of the grid the rows that some run was to fill, and those that are there.

    A row is wanted if any run asks for it whose plan was not withdrawn. Points that have rows and no plan come last.

    Args:
        dataset: to look at.
        fresh: whether to read every part, also those that have been verified before.

    Raises:
        DatasetError: a part cannot be read, or a record is damaged.
    """
    shard_size = dataset.manifest.shard_size
    grids = [Grid(record, shard_size) for record in dict.fromkeys(run.grid for run in dataset.runs if not run.withdrawn)]
    inventory = Inventory(dataset.storage, dataset.manifest.settings, fresh=fresh)
    asking: dict[Point, list[Grid]] = {}
    for grid in grids:
        for point in grid.points():
            asking.setdefault(point, []).append(grid)
    masks: dict[tuple[str, tuple[Grid, ...]], tuple[npt.NDArray[np.bool_], int]] = {}
    wanted: dict[Point, tuple[npt.NDArray[np.bool_], int]] = {}
    for point in [*asking, *(point for point in inventory.points if point not in asking)]:
        mine = tuple(asking.get(point, ()))
        if (point.space, mine) not in masks:
            mask = _mask(mine, point.space)
            masks[point.space, mine] = mask, int(mask.sum())
        wanted[point] = masks[point.space, mine]
    shards = {
        point: [_shard(point, number, shard_size, len(mask) or None) for number in inventory.numbers(point)]
        for point, (mask, _) in wanted.items()
    }
    states = inventory.states(shard for some in shards.values() for shard in some)
    return {point: _coverage(*of_point, shards[point], states, inventory.faults) for point, of_point in wanted.items()}


def _mask(grids: Iterable[Grid], space: str) -> npt.NDArray[np.bool_]:
    """Which positions of a space any of the grids takes."""
    wanted = np.zeros(max((grid.size(space) for grid in grids), default=0), np.bool_)
    for grid in grids:
        positions = grid.positions(space)
        if isinstance(positions, range):
            wanted[positions.start : positions.stop] = True
        else:
            wanted[list(positions)] = True
    return wanted


def _coverage(
    wanted: npt.NDArray[np.bool_],
    num_wanted: int,
    shards: Iterable[Shard],
    states: Mapping[Shard, PartState],
    faults: Collection[PurePosixPath],
) -> Coverage:
    coverage = Coverage(wanted=num_wanted)
    for shard in shards:
        if shard.path in faults:
            coverage.untrusted += 1
        elif shard in states:
            present, failed = _count(wanted, shard, states[shard])
            coverage.present += present
            coverage.failed += failed
            coverage.unplanned += len(states[shard].present) - present
    return coverage


def _count(wanted: npt.NDArray[np.bool_], shard: Shard, state: PartState) -> tuple[int, int]:
    """How many of the wanted rows a part holds, and how many of these failed."""
    if isinstance(state.present, range):
        present = int(wanted[state.present.start : state.present.stop].sum())
    else:
        present = sum(index < len(wanted) and bool(wanted[index]) for index in state.present)
    return present, sum(index < len(wanted) and bool(wanted[index]) for index in state.failed)


def _shard(point: Point, number: int, shard_size: int, size: int | None) -> Shard:
    start = number * shard_size
    stop = start + shard_size
    return Shard(point, number, start, stop if size is None else max(start, min(stop, size)))
