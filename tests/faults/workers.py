"""Workers with an architecture that goes wrong, for real actors."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

from naswot_ray.dataset.manifest import Settings
from naswot_ray.errors import DatasetError
from naswot_ray.run.grid import Batch, Task
from naswot_ray.run.worker import DeviceLostError, Pixels, Receipt, Row, Worker
from naswot_ray.spaces import Space

CULPRIT = 5
CGROUP = Path("/sys/fs/cgroup/memory/naswot-ray-tests")
"""Version 1 of the kernel's control groups, where root may make one."""
CGROUP_BYTES = 1536 * 2**20


class CrashingWorker(Worker):
    """Dies at one architecture, as a crash in native code would."""

    def score_row(self, space: Space, index: int, batch: Batch, images: torch.Tensor) -> Row:
        if index == CULPRIT:
            os.abort()
        return super().score_row(space, index, batch, images)


class HangingWorker(Worker):
    """Never comes back from one architecture."""

    def score_row(self, space: Space, index: int, batch: Batch, images: torch.Tensor) -> Row:
        if index == CULPRIT:
            time.sleep(3600)
        return super().score_row(space, index, batch, images)


class BrokenDeviceWorker(Worker):
    """Its GPU fails at one architecture, and with it everything after."""

    broken = False

    def score_row(self, space: Space, index: int, batch: Batch, images: torch.Tensor) -> Row:
        self.broken = self.broken or index == CULPRIT
        if self.broken:
            raise DeviceLostError("CUDA error: an illegal memory access was encountered")
        return super().score_row(space, index, batch, images)


class HungryWorker(Worker):
    """Lives in `CGROUP` and needs more memory for one architecture than that allows, so that the kernel ends it."""

    def __init__(self, root: str, run_id: str, settings: Settings, num_threads: int | None = None) -> None:
        super().__init__(root, run_id, settings, num_threads)
        (CGROUP / "cgroup.procs").write_text(str(os.getpid()))

    def score_row(self, space: Space, index: int, batch: Batch, images: torch.Tensor) -> Row:
        if index == CULPRIT:
            torch.ones(2 * CGROUP_BYTES // 4)
        return super().score_row(space, index, batch, images)


class RaisingWorker(Worker):
    """Cannot write."""

    def run(self, task: Task, space: Space, images: Pixels | None) -> Receipt:
        raise DatasetError("cannot write part-000000.parquet: No space left on device")


class UnstartableWorker(Worker):
    """Cannot even start."""

    def __init__(self, root: str, run_id: str, settings: Settings, num_threads: int | None = None) -> None:
        super().__init__(root, run_id, settings, num_threads)
        raise OSError("libcudart.so: cannot open shared object file")
