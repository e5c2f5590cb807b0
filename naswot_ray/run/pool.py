"""Where tasks run: what the driver needs of a pool of workers, and the pool without Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from naswot_ray.run.grid import Batch, Task
from naswot_ray.run.worker import Pixels, Receipt, Worker
from naswot_ray.spaces import Space

WorkerId = int
Images = TypeVar("Images")


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has started, or started again, and takes tasks."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Done:
    """A task is done and its rows are written."""

    worker: WorkerId
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker's process or node died; another try may succeed. The worker reports `Ready` when it is back."""

    worker: WorkerId
    reason: str


Event = Ready | Done | Lost


class Pool(Protocol):
    """Workers that do one task at a time each.

    An error that a worker raised itself, which no retry can cure, is raised by `wait`.
    """

    def submit(self, worker: WorkerId, task: Task) -> None:
        """Give a task to a worker that is ready and has none."""

    def wait(self, timeout: float) -> Sequence[Event]:
        """What happened since the last call; waits at most `timeout` seconds for something to happen."""

    def kill(self, worker: WorkerId) -> None:
        """End a worker that hangs. Its task comes back as `Lost`."""

    def close(self) -> None:
        """End all workers."""


class InProcessPool:
    """One worker in this process: for debugging, tiny machines and tests. A task that hangs or crashes takes the run along."""

    def __init__(self, worker: Worker, spaces: Mapping[str, Space], batches: Mapping[Batch, Pixels]) -> None:
        self._worker = worker
        self._spaces = spaces
        self._batches = batches
        self._task: Task | None = None
        self._announced = False

    def submit(self, worker: WorkerId, task: Task) -> None:
        self._task = task

    def wait(self, timeout: float) -> Sequence[Event]:
        if not self._announced:
            self._announced = True
            return [Ready(0)]
        if self._task is None:
            return []
        task, self._task = self._task, None
        return [Done(0, self._worker.run(task, self._spaces[task.shard.space], images_of(task, self._batches)))]

    def kill(self, worker: WorkerId) -> None:
        raise AssertionError("a task in this process cannot be ended")

    def close(self) -> None:
        pass


def images_of(task: Task, batches: Mapping[Batch, Images]) -> Images | None:
    """The batch that a task's shard is scored on; None for the architectures table."""
    return None if task.shard.batch is None else batches[task.shard.batch]
