"""The driver of a run: it decides which worker gets which task, and what happens when a worker dies or hangs.

A task whose worker died or took too long is tried again, up to a maximum number of attempts. Then it is split into halves, and
each half gets attempts of its own. This goes on until the architecture at fault is alone in its task: it is recorded as a
`failed` row, and all others are scored. Halves of one shard write the same part file, so they run one after the other.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from naswot_ray.grid.grid import Shard, Task
from naswot_ray.run.pool import Done, Gone, Lost, Pool, Ready, WorkerId
from naswot_ray.run.progress import RunProgress
from naswot_ray.run.queue import TaskQueue
from naswot_ray.run.receipt import Receipt, RunTable, table_of

POLL_SECONDS = 0.5
NUM_READERS = 16
"""How many part files are read at once when a run that was cut off is counted."""
MAX_NODES_LOST = 10
"""How many lost nodes a task survives without using up an attempt. Later losses count as attempts, because the architecture
itself may be what takes the machines down."""
WAITING_SECONDS = 60.0
"""Seconds without a worker before the operator is warned; the warning repeats at this interval."""


@dataclass(frozen=True)
class Policy:
    """When the driver gives up on a task.

    Attributes:
        max_attempts: how often a task is tried before it is split; a task of one architecture is recorded as failed instead.
        shard_timeout: seconds that a worker may take for one task.
    """

    max_attempts: int = 3
    shard_timeout: float = 3600.0


@dataclass(slots=True)
class _Running:
    task: Task
    deadline: float
    overran: bool = False


class Driver:
    """Hands tasks to the workers of a pool until all are done.

    Args:
        pool: the workers.
        policy: when to give up on a task.
        write_failed: writes a failed row for the only architecture of a task; takes the task and the error message.
        written: called with the path of every part file that was written.
        progress: called for every finished task.
        begin: called once, when the first worker is ready and before it gets the first task.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        pool: Pool,
        policy: Policy,
        write_failed: Callable[[Task, str], Receipt],
        written: Callable[[PurePosixPath], None],
        progress: RunProgress,
        begin: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._policy = policy
        self._write_failed = write_failed
        self._written = written
        self._progress = progress
        self._begin = begin
        self._clock = clock
        self._fresh = TaskQueue()
        self._retries: deque[Task] = deque()  # tried before, and the halves of such tasks
        self._idle: set[WorkerId] = set()
        self._running: dict[WorkerId, _Running] = {}
        self._busy: set[Shard] = set()
        self._started: float | None = None
        self._alive = self._looked = clock()
        self.counts: Mapping[RunTable, Counter[str]] = {"scores": Counter(), "architectures": Counter()}
        """How many rows of each table have been written so far, by outcome (`Receipt.counts`)."""

    @property
    def seconds(self) -> float:
        """Seconds since a worker got the first task. The time that workers took to start is not included."""
        return 0.0 if self._started is None else self._clock() - self._started

    def drive(self, tasks: Iterable[Task]) -> None:
        """Do all tasks. If an error or Ctrl-C ends this early, every part file that was written is whole and can be counted.

        Args:
            tasks: at most one for each shard. Tasks for the same range of architectures must follow each other. The iterable
                is read as workers become free.

        Raises:
            NaswotError: an error that no retry can cure, such as a full disk.
        """
        self._fresh = TaskQueue(tasks)
        while self._assign() or self._running:
            for event in self._pool.wait(POLL_SECONDS):
                match event:
                    case Ready(worker):
                        self._idle.add(worker)
                    case Done(worker, receipt):
                        self._finished(self._end(worker).task, receipt)
                        self._idle.add(worker)
                    case Lost(worker):
                        self._idle.discard(worker)
                        if worker in self._running:
                            self._lost(self._end(worker), event)
                    case Gone(worker, reason):
                        self._idle.discard(worker)
                        self._progress.note(f"a worker cannot start: {reason}; the others go on")
            self._check_times()
            self._progress.tick()

    def settle(self, count_written: Callable[[Task], Mapping[str, int]]) -> None:
        """Count the rows of tasks that were cut off: workers may have written some of them without reporting it.

        Args:
            count_written: returns how many rows of a task this run has written, by outcome.
        """
        tasks = [running.task for running in self._running.values()]
        self._running.clear()
        with ThreadPoolExecutor(NUM_READERS) as readers:
            for task, counts in zip(tasks, readers.map(count_written, tasks), strict=True):
                self.counts[table_of(task)].update(counts)

    def _assign(self) -> bool:
        """Give tasks to the idle workers. Returns whether any task is still waiting for a worker."""
        while self._idle:
            worker = self._idle.pop()
            task = self._next(worker)
            if task is None:
                self._idle.add(worker)
                break
            self._running[worker] = _Running(task, self._clock() + self._policy.shard_timeout)
            self._busy.add(task.shard)
            if self._started is None:
                self._begin()
                self._started = self._clock()
                self._progress.begin()
            self._pool.submit(worker, task)
        return bool(self._retries or self._fresh)

    def _next(self, worker: WorkerId) -> Task | None:
        """The next task for a worker. Skips shards that another worker is writing."""
        for position, task in enumerate(self._retries):
            if task.shard not in self._busy:
                del self._retries[position]
                return task
        return self._fresh.take(worker)

    def _end(self, worker: WorkerId) -> _Running:
        running = self._running.pop(worker)
        self._busy.discard(running.task.shard)
        return running

    def _finished(self, task: Task, receipt: Receipt) -> None:
        table = table_of(task)
        self.counts[table].update(receipt.counts)
        for note in receipt.notes:
            self._progress.note(note)
        if receipt.part is not None:
            self._written(receipt.part)
        if receipt.left:
            self._retries.append(Task(task.shard, receipt.left))
        self._progress.advance(table, receipt)

    def _lost(self, running: _Running, loss: Lost) -> None:
        task, reason = running.task, loss.reason
        if running.overran:
            reason = f"took longer than {self._policy.shard_timeout:g} s"
        elif loss.with_node and task.nodes_lost < MAX_NODES_LOST:
            self._progress.note(f"{_describe(task)}: {reason}; trying again")
            self._retries.append(replace(task, nodes_lost=task.nodes_lost + 1))
            return
        task = replace(task, attempts=task.attempts + 1)
        if task.attempts < self._policy.max_attempts:
            self._progress.note(f"{_describe(task)}: {reason}; trying again ({task.attempts} of {self._policy.max_attempts})")
            self._retries.append(task)
        elif len(task.indices) > 1:
            self._progress.note(f"{_describe(task)}: {reason} {task.attempts} times; trying its halves")
            middle = len(task.indices) // 2
            self._retries.append(Task(task.shard, task.indices[:middle]))
            self._retries.append(Task(task.shard, task.indices[middle:]))
        else:
            self._progress.note(f"{_describe(task)}: {reason} {task.attempts} times; recorded as failed")
            error = f"{reason} in each of {task.attempts} attempts"
            self._finished(task, self._write_failed(task, error))

    def _check_times(self) -> None:
        """Warn if there has been no worker for long, and end the workers whose time is up."""
        now = self._clock()
        if self._running or self._idle:
            self._alive = now
        elif now - self._alive >= WAITING_SECONDS:
            self._alive = now
            self._progress.note(f"no worker for {WAITING_SECONDS:g} s: waiting for the cluster to start one")
        if now - self._looked < POLL_SECONDS:  # not after every event, because thousands of workers may be running
            return
        self._looked = now
        for worker, running in self._running.items():
            if now > running.deadline and not running.overran:
                running.overran = True
                self._pool.kill(worker)


def _describe(task: Task) -> str:
    where = f"architecture {task.indices[0]}" if len(task.indices) == 1 else f"{len(task.indices)} architectures"
    return f"{where} of {task.shard.path}"
