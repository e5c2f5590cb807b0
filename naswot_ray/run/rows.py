"""Rows of a part: made, written, counted and reported. Without torch, so that a driver need not load it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from naswot_ray.dataset import parts, schema
from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.storage import Storage
from naswot_ray.grid.grid import Batch, Shard, Task
from naswot_ray.spaces import Space

MAX_ERROR_CHARACTERS = 2000
"""How much of what an architecture failed with goes into its row."""

Pixels = npt.NDArray[np.float32]
Row = dict[str, Any]


@dataclass(frozen=True)
class Receipt:
    """What a worker reports of a task.

    Attributes:
        counts: the rows that this run has written, by status: now, or in an earlier try of the task that was cut off before
            it could report.
        skipped: rows that others had written.
        part: that was written; None if nothing was.
        notes: what an operator should know of.
        left: positions that were handed back, because the task took long.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    skipped: int = 0
    part: PurePosixPath | None = None
    notes: tuple[str, ...] = ()
    left: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of the task, written now or before."""
        return sum(self.counts.values()) + self.skipped


class DeviceLostError(Exception):
    """The worker's GPU computes nothing more in this process; another process may be able to use it."""


def empty_score_row(space: Space, index: int, batch: Batch, *, run_id: str) -> Row:
    """A row of the scores table with its key, of no engine and without a score yet."""
    return {
        "space": space.name,
        "arch_id": space[index],
        "arch_index": index,
        "images": batch.images,
        "batch_size": batch.batch_size,
        "seed": batch.seed,
        "score": None,
        "score_paper": None,
        "num_units": None,
        "status": schema.STATUS_FAILED,
        "error": None,
        "engine": "none",
        "dtype": "none",
        "device": "none",
        "seconds": 0.0,
        "run_id": run_id,
    }


def empty_architecture_row(space: Space, index: int) -> Row:
    """A row of the architectures table with its key, and nothing derived yet."""
    return {
        "space": space.name,
        "arch_id": space[index],
        "arch_index": index,
        "benchmark_index": None,
        "architecture": None,
        "isomorphism_class": None,
        "params": None,
        "flops": None,
        "num_relus": None,
        "num_layers": None,
        "status": schema.STATUS_FAILED,
        "error": None,
    }


def architecture_row(space: Space, index: int) -> Row:
    """One row of the architectures table: the architecture, and the baselines of the network as it was trained."""
    row = empty_architecture_row(space, index)

    def derive() -> Row:
        arch_id = row["arch_id"]
        network = space.trained_network(arch_id)
        values = {
            "benchmark_index": space.benchmark_index(arch_id),
            "architecture": space.architecture(arch_id),
            "isomorphism_class": space.isomorphism_class(arch_id),
            "params": network.params,
            "flops": network.flops,
            "num_relus": network.num_relus,
            "num_layers": network.num_layers,
            "status": schema.STATUS_OK,
        }
        schema.check_values(schema.ARCHITECTURES, values)
        return values

    return row | or_failed(derive)


def count_written(storage: Storage, task: Task, run_id: str, indices: Collection[int]) -> Counter[str]:
    """How many of some rows of a task a run has written already, by status.

    Rows of the architectures table do not tell which run wrote them; they count as others'.

    Raises:
        DatasetError: the part is damaged, or cannot be read.
    """
    if task.shard.point.batch is None:
        return Counter()
    return parts.count_statuses(storage, task.shard.path, run_id, indices)


def write_failed(storage: Storage, space: Space, task: Task, error: str, run_id: str, settings: Settings) -> Receipt:
    """Record the one architecture of a task that could not be computed in any worker."""
    (index,), batch = task.indices, task.shard.point.batch
    row = empty_architecture_row(space, index) if batch is None else empty_score_row(space, index, batch, run_id=run_id)
    part = write_rows(storage, task.shard, [row | {"error": error}], run_id, settings)
    return Receipt({schema.STATUS_FAILED: 1}, part=part, notes=storage.take_notes())


def write_rows(storage: Storage, shard: Shard, rows: Sequence[Row], run_id: str, settings: Settings) -> PurePosixPath:
    """Write rows to their shard's part.

    Returns:
        the path of the part.

    Raises:
        DatasetError: the part could not be written.
    """
    parts.write(storage, shard.expected(settings), rows, run_id=run_id)
    return shard.path


def or_failed(compute: Callable[[], Row]) -> Row:
    """What a function computes of a row, or the columns of a row that failed.

    Raises:
        DeviceLostError: the process computes nothing more.
    """
    try:
        return compute()
    except DeviceLostError:
        raise
    except Exception as error:  # whatever one architecture does must not cost its shard; the row tells
        reason = f"{type(error).__name__}: {error}"
    # The reason may quote a file: text that Parquet cannot hold, or a megabyte of it.
    return {"status": schema.STATUS_FAILED, "error": reason[:MAX_ERROR_CHARACTERS].encode(errors="replace").decode()}
