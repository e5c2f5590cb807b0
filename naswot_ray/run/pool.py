"""Where tasks run: what the driver needs of a pool of workers, and the pool without Ray."""

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
    """A worker has started, or started again, and takes tasks."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Done:
    """A task is done and its rows are written."""

    worker: WorkerId
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker's process or node died; another try may succeed. The worker reports `Ready` when it is back.

    Attributes:
        reason: for people.
        with_node: the whole machine went, such as a spot instance.
    """

    worker: WorkerId
    reason: str
    with_node: bool = False


@dataclass(frozen=True, slots=True)
class Gone:
    """A worker could not start and will not come back; others go on."""

    worker: WorkerId
    reason: str


Event = Ready | Done | Lost | Gone


class Pool(Protocol):
    """Workers that do one task at a time each. There may be more of them later.

    A worker reports `Ready` when it has opened its engine. An error that a worker raised itself, which no retry can cure, is
    raised by `wait`.
    """

    @property
    def hardware(self) -> Mapping[str, int]:
        """What the run had, for its record; empty for this process alone."""

    def submit(self, worker: WorkerId, task: Task) -> None:
        """Give a task to a worker that is ready and has none."""

    def wait(self, timeout: float) -> Sequence[Event]:
        """What happened since the last call; waits at most `timeout` seconds for something to happen."""

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
    """A `Worker`. Its module loads torch, which takes 2 s: a driver whose tasks are done elsewhere need not wait for that."""
    from naswot_ray.run.worker import Worker  # noqa: PLC0415

    return Worker(root, run_id, settings, engine=engine, dtype=dtype, measures=measures)


class InProcessPool:
    """One worker in this process: for debugging, tiny machines and tests. A task that hangs or crashes takes the run along.

    Args:
        make_worker: makes what does the tasks.
        spaces: by name.
        make_batch: makes the images of a task when it is done.
        num_threads: how many threads torch's CPU operations take while a task is done.
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
        from naswot_ray.run.process import limited_threads  # noqa: PLC0415  torch, which a driver does without

        try:
            with limited_threads(self._num_threads):
                return [Done(0, self._worker.run(task, self._spaces[task.shard.point.space], self._batches.of(task)))]
        except DeviceLostError as error:
            raise RunError(f"the GPU failed ({error}); leave out --in-process to have such architectures isolated") from error

    def kill(self, worker: WorkerId) -> None:
        raise AssertionError("a task in this process cannot be ended")

    def close(self) -> None:
        pass
