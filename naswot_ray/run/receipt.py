"""What workers report about their tasks, and how they fail. It does not import torch, so that a driver need not load it."""

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
    """What a worker reports about a task.

    Attributes:
        counts: how many rows of the task this run has written, by outcome: `failed` if the row or a measure that the run asks
            for failed, otherwise the status that the row has in the dataset now. Rows of an earlier attempt count too, if
            that was cut off before it could report.
        skipped: how many rows another run had written already.
        part: the part file that was written; None if there was nothing to write.
        notes: what people should know of.
        left: positions in the space that the worker handed back because the task took long.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    skipped: int = 0
    part: PurePosixPath | None = None
    notes: tuple[str, ...] = ()
    left: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows of the task are in the dataset now, whoever wrote them."""
        return sum(self.counts.values()) + self.skipped


def table_of(task: Task) -> RunTable:
    """The table that a task's rows belong to."""
    return "architectures" if task.shard.point.batch is None else "scores"


class DeviceLostError(Exception):
    """The worker's GPU is unusable in this process. Another process may still be able to use it."""
