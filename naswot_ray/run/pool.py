"""Pools of workers: the interface that the driver uses, and the pool that runs in this process without Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from naswot_ray.dataset.manifest import Settings
from naswot_ray.errors import RunError
from naswot_ray.grid.grid import Batch, Task
from naswot_ray.measures import DEFAULT_MEASURES
from naswot_ray.run.batches import Batches
from naswot_ray.run.receipt import DeviceLostError, Pixels, Receipt
from naswot_ray.spaces import Space

if TYPE_CHECKING:
    from naswot_ray.run.worker import Worker

WorkerId = int


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has started, or has started again, and can take a task."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Done:
    """A worker has done its task and written the rows."""

    worker: WorkerId
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker's process or node died. Its task may succeed when it is tried again. `Ready` tells when the worker is back.

    Attributes:
        reason: what happened, for messages.
        with_node: whether the whole machine is gone, such as a spot instance that was taken away.
    """

    worker: WorkerId
    reason: str
    with_node: bool = False


@dataclass(frozen=True, slots=True)
class Gone:
    """A worker could not start and will not come back. Other workers go on."""

    worker: WorkerId
    reason: str


Event = Ready | Done | Lost | Gone


class Pool(Protocol):
    """Workers, each of which does one task at a time. More of them may appear during a run.

    `wait` reports a worker as `Ready` once the worker has opened its engine. If a worker raises an error, no retry can cure it,
    and `wait` raises it.
    """

    @property
    def hardware(self) -> Mapping[str, int]:
        """How many nodes, CPUs, GPUs and actors the run had, for its record; empty for a pool in this process."""

    def submit(self, worker: WorkerId, task: Task) -> None:
        """Give a task to a worker that is ready and has none."""

    def wait(self, timeout: float) -> Sequence[Event]:
        """The events since the last call. If there are none, waits for one, at most `timeout` seconds."""

    def kill(self, worker: WorkerId) -> None:
        """End a worker that hangs. Its task comes back as `Lost`."""

    def close(self) -> None:
        """End all workers."""


def make_worker(
    root: str,
    run_id: str,
    settings: Settings,
    *,
    engine: str | None = None,
    dtype: str = "float32",
    measures: Sequence[str] = DEFAULT_MEASURES,
) -> Worker:
    """Make a `Worker`.

    The worker's module is imported here, since it loads torch, which takes 2 s. A driver whose workers are in other processes
    does not need it.
    """
    from naswot_ray.run.worker import Worker  # noqa: PLC0415

    return Worker(root, run_id, settings, engine=engine, dtype=dtype, measures=measures)


class InProcessPool:
    """One worker in this process, for debugging, tiny machines and tests. If a task hangs or crashes, so does the run.

    Args:
        make_worker: makes the worker.
        spaces: the spaces of the tasks, by name.
        make_batch: makes the images of a task, when the task is about to run.
        num_threads: how many threads torch's CPU operations use while a task runs.
    """

    def __init__(
        self,
        make_worker: Callable[[], Worker],
        spaces: Mapping[str, Space],
        make_batch: Callable[[Batch], Pixels],
        num_threads: int,
    ) -> None:
        self._num_threads = num_threads
        self._make_worker = make_worker
        self._worker: Worker | None = None
        self._spaces = spaces
        self._batches = Batches(make_batch, lambda pixels: pixels)
        self._task: Task | None = None

    @property
    def hardware(self) -> Mapping[str, int]:
        return {}

    def submit(self, worker: WorkerId, task: Task) -> None:
        self._task = task

    def wait(self, timeout: float) -> Sequence[Event]:
        if self._worker is None:
            self._worker = self._make_worker()
            self._worker.open()
            return [Ready(0)]
        if self._task is None:
            return []
        task, self._task = self._task, None
        from naswot_ray.run.process import limited_threads  # noqa: PLC0415  torch, which a driver does not need

        try:
            with limited_threads(self._num_threads):
                return [Done(0, self._worker.run(task, self._spaces[task.shard.point.space], self._batches.of(task)))]
        except DeviceLostError as error:
            raise RunError(f"the GPU failed ({error}); leave out --in-process, and Ray isolates such architectures") from error

    def kill(self, worker: WorkerId) -> None:
        raise AssertionError("a task in this process cannot be ended")

    def close(self) -> None:
        pass
