"""The order of a run's tasks.

A worker scores its range of architectures on all batches before it takes another range, so that it builds each graph only once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from naswot_ray.grid.grid import Task
from naswot_ray.run.pool import WorkerId


class TaskQueue:
    """Hands out tasks, range of architectures by range.

    Args:
        tasks: those for the same range must follow each other. The iterable is read as tasks are needed.
    """

    def __init__(self, tasks: Iterable[Task] = ()) -> None:
        self._tasks: Iterator[Task] = iter(tasks)
        self._next = next(self._tasks, None)
        self._ranges: dict[WorkerId, deque[Task]] = {}

    def __bool__(self) -> bool:
        """Whether any task is left."""
        return self._next is not None or bool(self._ranges)

    def take(self, worker: WorkerId) -> Task | None:
        """The next task for a worker, or None if no task is left.

        Prefers the range this worker already has in memory, then the next untouched one. When none is left, it takes tasks
        from the end of the range with the most work remaining.
        """
        if worker not in self._ranges:
            fresh = self._take_range()
            if fresh:
                self._ranges[worker] = fresh
        owner = worker if worker in self._ranges else max(self._ranges, key=lambda w: len(self._ranges[w]), default=None)
        if owner is None:
            return None
        tasks = self._ranges[owner]
        task = tasks.popleft() if owner == worker else tasks.pop()
        if not tasks:
            del self._ranges[owner]
        return task

    def _take_range(self) -> deque[Task]:
        found: deque[Task] = deque()
        while self._next is not None and (not found or _range_of(self._next) == _range_of(found[0])):
            found.append(self._next)
            self._next = next(self._tasks, None)
        return found


def _range_of(task: Task) -> tuple[str, bool, int]:
    point = task.shard.point
    return point.space, point.batch is None, task.shard.number
