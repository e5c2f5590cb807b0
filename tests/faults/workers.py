"""Workers for real actors that fail at some architecture."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.rows import ScoreRow
from naswot_ray.errors import DatasetError
from naswot_ray.grid.grid import Batch, Task
from naswot_ray.run.receipt import DeviceLostError, Pixels, Receipt
from naswot_ray.run.worker import Worker
from naswot_ray.spaces import Space

CULPRIT = 5


class CrashingWorker(Worker):
    """Dies at one architecture, as a crash in native code would make it."""

    def score_rows(
        self, space: Space, indices: Sequence[int], batch: Batch, images: torch.Tensor, measures: Sequence[str]
    ) -> list[ScoreRow]:
        if CULPRIT in indices:
            os.abort()
        return super().score_rows(space, indices, batch, images, measures)


class HangingWorker(Worker):
    """Never returns from one architecture."""

    def score_rows(
        self, space: Space, indices: Sequence[int], batch: Batch, images: torch.Tensor, measures: Sequence[str]
    ) -> list[ScoreRow]:
        if CULPRIT in indices:
            time.sleep(3600)
        return super().score_rows(space, indices, batch, images, measures)


class GreedyWorker(Worker):
    """Takes all the memory that it can get for one architecture."""

    def score_rows(
        self, space: Space, indices: Sequence[int], batch: Batch, images: torch.Tensor, measures: Sequence[str]
    ) -> list[ScoreRow]:
        hoard = []
        while CULPRIT in indices:
            hoard.append(torch.ones(2**24))  # 64 MiB, written to
        return super().score_rows(space, indices, batch, images, measures)


class FrugalWorker(Worker):
    """Scores one architecture on far more images than fit into the rest of its address space (`ulimit -v`)."""

    def score_rows(
        self, space: Space, indices: Sequence[int], batch: Batch, images: torch.Tensor, measures: Sequence[str]
    ) -> list[ScoreRow]:
        if CULPRIT not in indices:
            return super().score_rows(space, indices, batch, images, measures)
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + 2**29, hard))
        try:
            return super().score_rows(space, indices, batch, images.repeat(4096, 1, 1, 1), measures)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@dataclass(frozen=True)
class Confined:
    """Makes workers whose process the kernel kills when it takes more memory than a control group allows."""

    group: Path

    def __call__(self, root: str, run_id: str, settings: Settings) -> Worker:
        (self.group / "cgroup.procs").write_text(str(os.getpid()))
        return GreedyWorker(root, run_id, settings)


def _address_space() -> int:
    """Bytes of memory mapped by this process."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


class BrokenDeviceWorker(Worker):
    """Its GPU fails at one architecture, and from then on at every other."""

    broken = False

    def score_rows(
        self, space: Space, indices: Sequence[int], batch: Batch, images: torch.Tensor, measures: Sequence[str]
    ) -> list[ScoreRow]:
        self.broken = self.broken or CULPRIT in indices
        if self.broken:
            raise DeviceLostError("CUDA error: an illegal memory access was encountered")
        return super().score_rows(space, indices, batch, images, measures)


class RaisingWorker(Worker):
    """Cannot write parts."""

    def run(self, task: Task, space: Space, images: Pixels | None) -> Receipt:
        raise DatasetError("cannot write part-000000.parquet: No space left on device")


class UnstartableWorker(Worker):
    """Cannot even start."""

    def __init__(self, root: str, run_id: str, settings: Settings) -> None:
        super().__init__(root, run_id, settings)
        raise OSError("libcudart.so: cannot open shared object file")


def square_and_pid(i: int) -> tuple[int, int]:
    """For `ray_map`: returns what was asked for, and where it was computed."""
    return i * i, os.getpid()


def refuse_three(i: int) -> int:
    """For `ray_map`: raises an error at one item."""
    if i == 3:
        raise ValueError("no 3")
    return i


@dataclass(frozen=True)
class DiesOnce:
    """For `ray_map`: its process dies the first time that an item is 1."""

    marker: Path

    def __call__(self, i: int) -> int:
        if i == 1 and not self.marker.exists():
            self.marker.touch()
            os.abort()
        return i
