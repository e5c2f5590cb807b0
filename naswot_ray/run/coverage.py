"""What a dataset holds of what its runs were asked to fill."""

from __future__ import annotations

from naswot_ray.dataset.opening import Dataset
from naswot_ray.run.grid import Grid, Point
from naswot_ray.run.survey import Coverage, Survey


def coverage_of(dataset: Dataset) -> dict[Point, Coverage]:
    """Per point the rows that some run was to fill, and those that are there.

    Where runs asked for different numbers of architectures, the largest counts.

    Raises:
        DatasetError: a part or a record is damaged.
    """
    total: dict[Point, Coverage] = {}
    for grid in dict.fromkeys(record.grid for record in dataset.runs):
        for point, found in Survey(Grid(grid, dataset.manifest.shard_size), dataset.storage).coverage().items():
            if point not in total or found.wanted > total[point].wanted:
                total[point] = found
    return total
