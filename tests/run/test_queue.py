"""Workers get tasks by range: each task is handed out once, and a worker keeps its architectures while batches are left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from naswot_ray.grid.grid import Batch, Point, Shard, Task
from naswot_ray.run.queue import TaskQueue

A, B, Z = 1, 2, 9
BATCHES = [Batch("noise", 4, seed) for seed in range(4)]


def task(number: int, batch: Batch | None, space: str = "s") -> Task:
    return Task(Shard(Point(space, batch), number, 8 * number, 8 * number + 8), range(8 * number, 8 * number + 8))


def grid(num_ranges: int, num_batches: int) -> list[Task]:
    return [task(number, batch) for number in range(num_ranges) for batch in BATCHES[:num_batches]]


def test_a_worker_keeps_its_range() -> None:
    tasks = grid(3, 3)
    queue = TaskQueue(tasks)
    taken = [queue.take(worker) for worker in (A, B, A, A, B, B, A, B, A)]
    assert [t and t.shard.number for t in taken] == [0, 1, 0, 0, 1, 1, 2, 2, 2]  # near the end b helps a
    assert not queue
    assert queue.take(A) is None


def test_the_last_range_is_shared() -> None:
    queue = TaskQueue(grid(1, 4))
    first = queue.take(A)
    helped = queue.take(B)
    assert first is not None
    assert helped is not None
    assert (first.shard.point.batch, helped.shard.point.batch) == (BATCHES[0], BATCHES[3])
    assert [queue.take(A) is not None for _ in range(3)] == [True, True, False]


def test_architectures_and_spaces_are_ranges_of_their_own() -> None:
    tasks = [task(0, None), task(0, BATCHES[0]), task(0, BATCHES[0], "t")]
    queue = TaskQueue(tasks)
    assert [queue.take(worker) for worker in (A, B, Z)] == tasks


def test_tasks_are_made_when_they_are_needed() -> None:
    made = 0

    def some() -> object:
        nonlocal made
        for one in grid(1000, 2):
            made += 1
            yield one

    queue = TaskQueue(some())  # type: ignore[arg-type]
    for _ in range(4):
        queue.take(A)
    assert queue
    assert made <= 5


@given(st.integers(0, 6), st.integers(1, 4), st.lists(st.sampled_from([A, B, 3]), max_size=40))
def test_every_task_is_handed_out_once(num_ranges: int, num_batches: int, workers: list[int]) -> None:
    tasks = grid(num_ranges, num_batches)
    queue = TaskQueue(tasks)
    taken = [found for worker in workers if (found := queue.take(worker)) is not None]
    while (found := queue.take(Z)) is not None:
        taken.append(found)
    assert not queue
    assert sorted(taken, key=tasks.index) == tasks
