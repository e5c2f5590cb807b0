"""The policy of a run: which task goes to which worker, and what happens when one is lost or hangs.

A task whose worker died or overran its time is tried again, up to a number of attempts. Then it is split in halves, each with
attempts of its own, until the architecture at fault stands alone; that one is recorded as a `failed` row and its neighbours
are scored. Halves of one shard write the same part, so they run one after the other.
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
"""Parts looked into at once."""
MAX_NODES_LOST = 10
"""From then on a lost node counts as an attempt: it may be the architecture that takes the machine down."""
WAITING_SECONDS = 60.0
"""After so long without any worker the operator is told, and again each time as long."""


@dataclass(frozen=True)
class Policy:
    """When to give up on what.

    Attributes:
        max_attempts: tries of a task before it is split, or its only architecture recorded as failed.
        shard_timeout: seconds a worker may take for one task.
    """

    max_attempts: int = 3
    shard_timeout: float = 3600.0


@dataclass(slots=True)
class _Running:
    task: Task
    deadline: float
    overran: bool = False


class Driver:
    """Takes tasks through a pool.

    Args:
        pool: the workers.
        policy: see `Policy`.
        write_failed: records the one architecture of a task, with this error, as a failed row.
        written: is told of every part that was written.
        progress: is told of every finished task.
        begin: called once, when the first worker is ready and before it gets the first task.
        clock: monotonic seconds.
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
        self._again: deque[Task] = deque()  # tried before: retries, and halves of a shard
        self._idle: set[WorkerId] = set()
        self._running: dict[WorkerId, _Running] = {}
        self._busy: set[Shard] = set()
        self._started: float | None = None
        self._alive = self._looked = clock()
        self.counts: Mapping[RunTable, Counter[str]] = {"scores": Counter(), "architectures": Counter()}
        """How many rows of each table have been written so far, by status."""

    @property
    def seconds(self) -> float:
        """Since the first task was given to a worker; the start of the workers is not in it."""
        return 0.0 if self._started is None else self._clock() - self._started

    def drive(self, tasks: Iterable[Task]) -> None:
        """Do all tasks. Whatever ends it early (an error, Ctrl-C) leaves what is written complete and countable.

        Args:
            tasks: of different shards, those of one range of architectures side by side; taken as workers become free.

        Raises:
            NaswotError: what no retry can cure, such as a full disk.
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
                        self._progress.note(f"a worker cannot start, the others go on: {reason}")
            self._look_after_time()
            self._progress.tick()

    def settle(self, count_written: Callable[[Task], Mapping[str, int]]) -> None:
        """Count what workers had written of their tasks when they were ended without having reported.

        Args:
            count_written: how many rows of a task this run has written, by status.
        """
        tasks = [running.task for running in self._running.values()]
        self._running.clear()
        with ThreadPoolExecutor(NUM_READERS) as readers:
            for task, counts in zip(tasks, readers.map(count_written, tasks), strict=True):
                self.counts[table_of(task)].update(counts)

    def _assign(self) -> bool:
        """Give tasks to the idle workers. Returns whether there is something left that could not be given."""
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
        return bool(self._again or self._fresh)

    def _next(self, worker: WorkerId) -> Task | None:
        """The next task for a worker, of a shard that is not being worked on."""
        for position, task in enumerate(self._again):
            if task.shard not in self._busy:
                del self._again[position]
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
            self._again.append(Task(task.shard, receipt.left))
        self._progress.advance(table, receipt)

    def _lost(self, running: _Running, loss: Lost) -> None:
        task, reason = running.task, loss.reason
        if running.overran:
            reason = f"took longer than {self._policy.shard_timeout:g} s"
        elif loss.with_node and task.nodes_lost < MAX_NODES_LOST:
            self._progress.note(f"{_describe(task)}: {reason}; trying again")
            self._again.append(replace(task, nodes_lost=task.nodes_lost + 1))
            return
        task = replace(task, attempts=task.attempts + 1)
        if task.attempts < self._policy.max_attempts:
            self._progress.note(f"{_describe(task)}: {reason}; trying again ({task.attempts} of {self._policy.max_attempts})")
            self._again.append(task)
        elif len(task.indices) > 1:
            self._progress.note(f"{_describe(task)}: {reason} {task.attempts} times; trying its halves")
            middle = len(task.indices) // 2
            self._again.append(Task(task.shard, task.indices[:middle]))
            self._again.append(Task(task.shard, task.indices[middle:]))
        else:
            self._progress.note(f"{_describe(task)}: {reason} {task.attempts} times; recorded as failed")
            error = f"{reason} in each of {task.attempts} attempts"
            self._finished(task, self._write_failed(task, error))

    def _look_after_time(self) -> None:
        now = self._clock()
        if self._running or self._idle:
            self._alive = now
        elif now - self._alive >= WAITING_SECONDS:
            self._alive = now
            self._progress.note(f"no worker for {WAITING_SECONDS:g} s: waiting for the cluster to start one")
        if now - self._looked < POLL_SECONDS:  # not after every event: thousands of workers may be running
            return
        self._looked = now
        for worker, running in self._running.items():
            if now > running.deadline and not running.overran:
                running.overran = True
                self._pool.kill(worker)


def _describe(task: Task) -> str:
    where = f"architecture {task.indices[0]}" if len(task.indices) == 1 else f"{len(task.indices)} architectures"
    return f"{where} of {task.shard.path}"
