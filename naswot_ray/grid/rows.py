"""The rows of a part: rows of the architectures table, rows that failed, and writing rows to their part.

This module does not import torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Final

from naswot_ray.dataset import parts, schema
from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.rows import ArchitectureRow, ScoreRow, TableRow
from naswot_ray.dataset.storage import Storage
from naswot_ray.grid.grid import Batch, Shard, Task
from naswot_ray.measures import DEFAULT_MEASURES
from naswot_ray.spaces import Space

MAX_ERROR_CHARACTERS: Final = 2000
"""The longest error that goes into a row; the rest is cut off."""


def reason_of(error: Exception) -> str:
    """Format the error of an architecture or a measure for the column `error`.

    The message may quote a file. So it is shortened, and characters that Parquet cannot hold are replaced.
    """
    reason = f"{type(error).__name__}: {error}"
    return reason[:MAX_ERROR_CHARACTERS].encode(errors="replace").decode()


def failed_score_row(space: Space, index: int, batch: Batch, error: str, *, run_id: str) -> ScoreRow:
    """A row of the scores table for an architecture that no engine could score."""
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
    """A row of the architectures table: the architecture, and the baselines of the network as it was trained.

    If the architecture fails, its error goes into the row.
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
    except Exception as error:  # one bad architecture must not stop its shard; the row holds the error
        return ArchitectureRow(space=space.name, arch_id=arch_id, arch_index=index, error=reason_of(error))


def failed_row(space: Space, index: int, batch: Batch | None, error: str, *, run_id: str) -> TableRow:
    """A failed row of the scores table, or of the architectures table if `batch` is None."""
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
) -> Counter[str]:
    """Write a failed row for the single architecture of a task, after no worker could compute it.

    Returns:
        the outcome of the row, as from `write_rows`.

    Raises:
        DatasetError: the part could not be written.
    """
    (index,), batch = task.indices, task.shard.point.batch
    row = failed_row(space, index, batch, error, run_id=run_id)
    return write_rows(storage, task.shard, [row], run_id, settings, measures)


def count_written(
    storage: Storage, task: Task, run_id: str, indices: Collection[int], measures: Collection[str]
) -> Counter[str]:
    """Count, by outcome as from `write_rows`, which of the given rows of a task a run has already written.

    Rows of the architectures table do not record which run wrote them, so none of them is counted.

    Raises:
        DatasetError: the part is damaged, or cannot be read.
    """
    if task.shard.point.batch is None:
        return Counter()
    return parts.count_written(storage, task.shard.path, run_id, indices, measures)


def write_rows(
    storage: Storage,
    shard: Shard,
    rows: Sequence[TableRow],
    run_id: str,
    settings: Settings,
    measures: Collection[str] = (),
) -> Counter[str]:
    """Write rows to their shard's part.

    Args:
        storage: the dataset.
        shard: the shard that the rows belong to.
        rows: some of the shard's rows.
        run_id: the run that writes them.
        settings: the dataset's settings.
        measures: the measures that the run asks for. Rows of the architectures table have none.

    Returns:
        how many of the rows have each outcome, as they are in the part now: `failed` if the row or a measure of it that the
        run asks for failed, otherwise the row's status.

    Raises:
        DatasetError: the part could not be written.
    """
    wanted = () if shard.point.batch is None else measures
    return parts.write(storage, shard.expected(settings), rows, run_id=run_id, wanted=wanted)
