"""What a dataset holds of what its runs were asked to fill."""

from __future__ import annotations

from naswot_ray.dataset.opening import Dataset
from naswot_ray.run.grid import Batch, Coverage, Grid


def coverage_of(dataset: Dataset) -> dict[tuple[str, Batch | None], Coverage]:
    """Per (space, batch) the rows that some run was to fill, and those that are there; batch None: architectures.

    Where runs asked for different numbers of architectures, the largest counts.

    Raises:
        DatasetError: a part or a record is damaged.
    """
    total: dict[tuple[str, Batch | None], Coverage] = {}
    for grid in dict.fromkeys(record.grid for record in dataset.runs):
        for key, found in Grid(grid, dataset.manifest.shard_size).coverage(dataset.storage).items():
            if key not in total or found.wanted > total[key].wanted:
                total[key] = found
    return total
