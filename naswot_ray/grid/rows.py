"""The rows of a part: their keys, what is derived of an architecture, and how they are written. Without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import PurePosixPath
from typing import Final

from naswot_ray.dataset import parts, schema
from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.rows import ArchitectureRow, ScoreRow, TableRow
from naswot_ray.dataset.storage import Storage
from naswot_ray.grid.grid import Batch, Shard, Task
from naswot_ray.measures import DEFAULT_MEASURES
from naswot_ray.spaces import Space

MAX_ERROR_CHARACTERS: Final = 2000
"""How much of what an architecture failed with goes into its row."""


def reason_of(error: Exception) -> str:
    """What an architecture or a measure failed with, as rows tell it.

    The reason may quote a file: text that Parquet cannot hold, or a megabyte of it.
    """
    reason = f"{type(error).__name__}: {error}"
    return reason[:MAX_ERROR_CHARACTERS].encode(errors="replace").decode()


def failed_score_row(space: Space, index: int, batch: Batch, error: str, *, run_id: str) -> ScoreRow:
    """A row of the scores table that no engine could compute."""
    return ScoreRow(
        space=space.name,
        arch_id=space[index],
        arch_index=index,
        images=batch.images,
        batch_size=batch.batch_size,
        seed=batch.seed,
        run_id=run_id,
        error=error,
    )


def architecture_row(space: Space, index: int) -> ArchitectureRow:
    """One row of the architectures table: the architecture, and the baselines of the network as it was trained.

    What the architecture fails with becomes the row's error.
    """
    arch_id = space[index]
    key = {"space": space.name, "arch_id": arch_id, "arch_index": index}
    try:
        network = space.trained_network(arch_id)
        row = ArchitectureRow(
            space=space.name,
            arch_id=arch_id,
            arch_index=index,
            benchmark_index=space.benchmark_index(arch_id),
            architecture=space.architecture(arch_id),
            isomorphism_class=space.isomorphism_class(arch_id),
            params=network.params,
            flops=network.flops,
            num_relus=network.num_relus,
            num_layers=network.num_layers,
        )
        derived = {field.name: getattr(row, field.name) for field in fields(row) if field.name not in key}
        schema.check_values(schema.ARCHITECTURES, derived)
        return row
    except Exception as error:  # whatever one architecture does must not cost its shard; the row tells
        return ArchitectureRow(space=space.name, arch_id=arch_id, arch_index=index, error=reason_of(error))


def failed_row(space: Space, index: int, batch: Batch | None, error: str, *, run_id: str) -> TableRow:
    """A failed row of either table."""
    if batch is None:
        return ArchitectureRow(space=space.name, arch_id=space[index], arch_index=index, error=error)
    return failed_score_row(space, index, batch, error, run_id=run_id)


def write_failed(
    storage: Storage,
    space: Space,
    task: Task,
    error: str,
    run_id: str,
    settings: Settings,
    measures: Collection[str] = DEFAULT_MEASURES,
) -> PurePosixPath:
    """Record the one architecture of a task that could not be computed in any worker.

    Returns:
        the path of the part.

    Raises:
        DatasetError: the part could not be written.
    """
    (index,), batch = task.indices, task.shard.point.batch
    row = failed_row(space, index, batch, error, run_id=run_id)
    return write_rows(storage, task.shard, [row], run_id, settings, () if batch is None else measures)


def count_written(storage: Storage, task: Task, run_id: str, indices: Collection[int]) -> Counter[str]:
    """How many of some rows of a task a run has written already, by status.

    Rows of the architectures table do not tell which run wrote them; they count as others'.

    Raises:
        DatasetError: the part is damaged, or cannot be read.
    """
    if task.shard.point.batch is None:
        return Counter()
    return parts.count_statuses(storage, task.shard.path, run_id, indices)


def write_rows(
    storage: Storage,
    shard: Shard,
    rows: Sequence[TableRow],
    run_id: str,
    settings: Settings,
    measures: Collection[str] = (),
) -> PurePosixPath:
    """Write rows to their shard's part.

    Args:
        storage: the dataset.
        shard: whose rows.
        rows: some of its.
        run_id: of the run.
        settings: of the dataset.
        measures: that the run asks for.

    Returns:
        the path of the part.

    Raises:
        DatasetError: the part could not be written.
    """
    parts.write(storage, shard.expected(settings), rows, run_id=run_id, wanted=measures)
    return shard.path
