"""What workers report of their tasks, and how they fail. Without torch, so that a driver need not load it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt

from naswot_ray.grid.grid import Task

Pixels = npt.NDArray[np.float32]

RunTable = Literal["scores", "architectures"]
"""The tables that a run writes rows of."""


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


def table_of(task: Task) -> RunTable:
    """The table that a task's rows belong to."""
    return "architectures" if task.shard.point.batch is None else "scores"


class DeviceLostError(Exception):
    """The worker's GPU computes nothing more in this process; another process may be able to use it."""
