"""The policy of a run: which task goes to which worker, and what happens when one is lost or hangs.

A task whose worker died or overran its time is tried again, up to a number of attempts. Then it is split in halves, each with
attempts of its own, until the architecture at fault stands alone; that one is recorded as a `failed` row and its neighbours
are scored. Halves of one shard write the same part, so they run one after the other.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from naswot_ray.run.grid import Shard, Task
from naswot_ray.run.pool import Done, Lost, Pool, Ready, WorkerId
from naswot_ray.run.progress import Progress
from naswot_ray.run.worker import Receipt

POLL_SECONDS = 0.5


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
    """Takes a list of tasks through a pool.

    Args:
        pool: the workers.
        policy: see `Policy`.
        write_failed: records (shard, position, error) as a failed row.
        progress: is told of every finished task.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        pool: Pool,
        policy: Policy,
        write_failed: Callable[[Shard, int, str], Receipt],
        progress: Progress,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._policy = policy
        self._write_failed = write_failed
        self._progress = progress
        self._clock = clock
        self._queue: deque[Task] = deque()
        self._idle: set[WorkerId] = set()
        self._running: dict[WorkerId, _Running] = {}
        self._started: float | None = None
        self.counts: Counter[str] = Counter()
        """Rows written so far, by table and status: ("scores" | "architectures") + "." + status."""

    @property
    def seconds(self) -> float:
        """Since the first task was given to a worker; the start of the workers is not in it."""
        return 0.0 if self._started is None else self._clock() - self._started

    def drive(self, tasks: Sequence[Task]) -> None:
        """Do all tasks. Whatever ends it early (an error, Ctrl-C) leaves what is written complete and countable.

        Raises:
            NaswotError: what no retry can cure, such as a full disk.
        """
        self._queue.extend(tasks)
        while self._queue or self._running:
            self._assign()
            for event in self._pool.wait(POLL_SECONDS):
                match event:
                    case Ready(worker):
                        self._idle.add(worker)
                    case Done(worker, receipt):
                        self._finished(self._running.pop(worker).task, receipt)
                        self._idle.add(worker)
                    case Lost(worker, reason):
                        self._idle.discard(worker)
                        if running := self._running.pop(worker, None):
                            overran = f"took longer than {self._policy.shard_timeout:g} s"
                            self._lost(running.task, overran if running.overran else reason)
            self._end_overdue()
            self._progress.tick()

    def _assign(self) -> None:
        busy = {running.task.shard for running in self._running.values()}
        waiting: list[Task] = []
        while self._idle and self._queue:
            task = self._queue.popleft()
            if task.shard in busy:
                waiting.append(task)
                continue
            worker = self._idle.pop()
            self._running[worker] = _Running(task, self._clock() + self._policy.shard_timeout)
            busy.add(task.shard)
            if self._started is None:
                self._started = self._clock()
                self._progress.begin()
            self._pool.submit(worker, task)
        self._queue.extendleft(reversed(waiting))

    def _finished(self, task: Task, receipt: Receipt) -> None:
        table = "architectures" if task.shard.batch is None else "scores"
        for status, count in receipt.counts.items():
            self.counts[f"{table}.{status}"] += count
        self._progress.advance(table, sum(receipt.counts.values()))

    def _lost(self, task: Task, reason: str) -> None:
        task = replace(task, attempts=task.attempts + 1)
        if task.attempts < self._policy.max_attempts:
            self._progress.note(f"{_describe(task)}: {reason}; trying again ({task.attempts} of {self._policy.max_attempts})")
            self._queue.append(task)
        elif len(task.indices) > 1:
            self._progress.note(f"{_describe(task)}: {reason} {task.attempts} times; trying its halves")
            middle = len(task.indices) // 2
            self._queue.append(Task(task.shard, task.indices[:middle]))
            self._queue.append(Task(task.shard, task.indices[middle:]))
        else:
            self._progress.note(f"{_describe(task)}: {reason} {task.attempts} times; recorded as failed")
            error = f"{reason} in each of {task.attempts} attempts"
            self._finished(task, self._write_failed(task.shard, task.indices[0], error))

    def _end_overdue(self) -> None:
        now = self._clock()
        for worker, running in self._running.items():
            if now > running.deadline and not running.overran:
                running.overran = True
                self._pool.kill(worker)


def _describe(task: Task) -> str:
    where = f"architecture {task.indices[0]}" if len(task.indices) == 1 else f"{len(task.indices)} architectures"
    return f"{where} of {task.shard.path}"
