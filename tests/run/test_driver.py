"""The policy of the driver, tested with a pool and a clock of the tests' own."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

import pytest

from naswot_ray.errors import DatasetError
from naswot_ray.grid.grid import Batch, Point, Shard, Task
from naswot_ray.run.driver import Driver, Policy
from naswot_ray.run.pool import Done, Event, Gone, Lost, Ready, WorkerId
from naswot_ray.run.receipt import Receipt, RunTable

POINT = Point("nasbench201", Batch("noise", 4, 0))


class FakePool:
    """Workers whose fate a function decides: 'ok', 'dies', 'loses its node', 'hangs', or an exception to raise."""

    def __init__(self, num_workers: int, fate: Callable[[Task], str | Exception], seconds_per_wait: float = 1.0) -> None:
        self.fate = fate
        self.now = 0.0
        self.submitted: list[Task] = []
        self.workers_used: set[WorkerId] = set()
        self.receipt: Receipt | None = None
        self.concurrent_shards_clashed = False
        self._events: deque[Event] = deque(Ready(w) for w in range(num_workers))
        self._busy: dict[WorkerId, Task] = {}
        self._seconds_per_wait = seconds_per_wait

    def submit(self, worker: WorkerId, task: Task) -> None:
        assert worker not in self._busy, "a worker got a second task"
        self.concurrent_shards_clashed |= task.shard in {t.shard for t in self._busy.values()}
        self._busy[worker] = task
        self.submitted.append(task)
        self.workers_used.add(worker)

    def announce(self, event: Event) -> None:
        self._events.append(event)

    def wait(self, timeout: float) -> Sequence[Event]:
        self.now += self._seconds_per_wait
        events, self._events = list(self._events), deque()
        for worker, task in list(self._busy.items()):
            fate = self.fate(task)
            if isinstance(fate, Exception):
                raise fate
            if fate == "ok":
                del self._busy[worker]
                events.append(Done(worker, self.receipt or Receipt({"ok": len(task.indices)})))
            elif fate == "dies":
                self._lose(worker)
            elif fate == "loses its node":
                del self._busy[worker]
                self._events += [Lost(worker, "the worker's node died", with_node=True), Ready(worker)]
        return events

    def kill(self, worker: WorkerId) -> None:
        self._lose(worker)

    def close(self) -> None:
        pass

    @property
    def hardware(self) -> Mapping[str, int]:
        return {}

    def _lose(self, worker: WorkerId) -> None:
        del self._busy[worker]
        self._events += [Lost(worker, "the worker process died"), Ready(worker)]


class SilentProgress:
    def __init__(self) -> None:
        self.rows: Counter[RunTable] = Counter()
        self.notes: list[str] = []

    def begin(self) -> None:
        pass

    def advance(self, table: RunTable, receipt: Receipt) -> None:
        self.rows[table] += receipt.rows

    def note(self, message: str) -> None:
        self.notes.append(message)

    def tick(self) -> None:
        pass


def drive(
    pool: FakePool, tasks: Iterable[Task], policy: Policy | None = None
) -> tuple[Driver, list[tuple[int, str]], SilentProgress]:
    failed: list[tuple[int, str]] = []

    def write_failed(task: Task, error: str) -> Receipt:
        (index,) = task.indices
        failed.append((index, error))
        return Receipt({"failed": 1})

    progress = SilentProgress()
    driver = Driver(pool, policy or Policy(), write_failed, lambda part: None, progress, clock=lambda: pool.now)
    driver.drive(tasks)
    return driver, failed, progress


def make_tasks(num_shards: int, size: int = 4) -> list[Task]:
    shards = [Shard(POINT, number, number * size, (number + 1) * size) for number in range(num_shards)]
    return [Task(shard, tuple(shard.range)) for shard in shards]


def test_every_task_is_done_once_when_nothing_goes_wrong() -> None:
    pool = FakePool(3, lambda task: "ok")
    tasks = make_tasks(10)
    driver, failed, progress = drive(pool, tasks)
    assert sorted(t.shard.number for t in pool.submitted) == list(range(10))
    assert driver.counts == {"scores": {"ok": 40}, "architectures": {}}
    assert progress.rows == {"scores": 40}
    assert not failed


def test_no_tasks_need_no_worker() -> None:
    driver, _, _ = drive(FakePool(0, lambda task: "ok"), [])
    assert driver.seconds == 0


def test_a_worker_that_dies_once_costs_one_more_try() -> None:
    died: set[int] = set()

    def fate(task: Task) -> str:
        if task.shard.number == 2 and 2 not in died:
            died.add(2)
            return "dies"
        return "ok"

    pool = FakePool(2, fate)
    driver, failed, progress = drive(pool, make_tasks(5))
    assert driver.counts["scores"] == {"ok": 20}
    assert not failed
    assert [t.shard.number for t in pool.submitted].count(2) == 2
    assert len(progress.notes) == 1
    assert "trying again (1 of 3)" in progress.notes[0]
    assert ".000002.parquet" in progress.notes[0]


@pytest.mark.parametrize("culprits", [{5}, {0}, {7}, {2, 3}, {0, 7}, set(range(8))])
def test_an_architecture_that_always_kills_its_worker_is_found_and_its_neighbours_are_scored(culprits: set[int]) -> None:
    pool = FakePool(2, lambda task: "dies" if culprits & set(task.indices) else "ok")
    driver, failed, _ = drive(pool, make_tasks(1, size=8), Policy(max_attempts=2))
    assert sorted(index for index, _ in failed) == sorted(culprits)
    assert all(error == "the worker process died in each of 2 attempts" for _, error in failed)
    scored = Counter(index for task in pool.submitted if not culprits & set(task.indices) for index in task.indices)
    assert scored == Counter(set(range(8)) - culprits), "each innocent architecture is scored exactly once"
    assert driver.counts["scores"]["failed"] == len(culprits)
    assert driver.counts["scores"]["ok"] == 8 - len(culprits)


def test_halves_of_one_shard_never_run_at_the_same_time() -> None:
    pool = FakePool(4, lambda task: "dies" if 5 in task.indices else "ok")
    drive(pool, make_tasks(3, size=8), Policy(max_attempts=1))
    assert not pool.concurrent_shards_clashed


def test_an_architecture_that_hangs_is_ended_and_recorded() -> None:
    pool = FakePool(2, lambda task: "hangs" if 6 in task.indices else "ok")
    driver, failed, _ = drive(pool, make_tasks(3), Policy(max_attempts=2, shard_timeout=10))
    assert failed == [(6, "took longer than 10 s in each of 2 attempts")]
    assert driver.counts["scores"] == {"ok": 11, "failed": 1}


def test_waiting_for_a_worker_to_start_is_no_attempt() -> None:
    pool = FakePool(1, lambda task: "ok", seconds_per_wait=100)
    driver, failed, _ = drive(pool, make_tasks(3), Policy(max_attempts=1, shard_timeout=150))
    assert not failed
    assert driver.counts["scores"] == {"ok": 12}


def test_a_lost_node_is_no_attempt() -> None:
    lost: Counter[int] = Counter()

    def fate(task: Task) -> str:
        lost[task.shard.number] += 1
        return "loses its node" if task.shard.number == 1 and lost[1] <= 5 else "ok"

    driver, failed, progress = drive(FakePool(2, fate), make_tasks(3), Policy(max_attempts=1))
    assert not failed
    assert driver.counts["scores"] == {"ok": 12}
    assert len(progress.notes) == 5


def test_an_architecture_that_always_takes_its_node_along_is_found_in_the_end() -> None:
    pool = FakePool(2, lambda task: "loses its node" if 2 in task.indices else "ok")
    driver, failed, _ = drive(pool, make_tasks(1), Policy(max_attempts=1))
    assert failed == [(2, "the worker's node died in each of 1 attempts")]
    assert driver.counts["scores"] == {"ok": 3, "failed": 1}


def test_a_worker_that_cannot_start_is_told_and_the_others_do_its_work() -> None:
    pool = FakePool(2, lambda task: "ok")
    pool.announce(Gone(7, "no driver for its GPU"))
    driver, _, progress = drive(pool, make_tasks(3))
    assert driver.counts["scores"] == {"ok": 12}
    assert progress.notes == ["a worker cannot start: no driver for its GPU; the others go on"]


def test_a_worker_that_comes_late_gets_work() -> None:
    pool = FakePool(1, lambda task: "ok")
    tasks = make_tasks(20)

    def late() -> Iterator[Task]:
        for number, task in enumerate(tasks):
            if number == 5:
                pool.announce(Ready(1))
            yield task

    drive(pool, late())
    assert pool.workers_used == {0, 1}


def test_tasks_are_taken_as_workers_become_free() -> None:
    """Hundreds of thousands of tasks therefore need no memory."""
    pool = FakePool(2, lambda task: "ok")
    taken: list[int] = []

    def tasks() -> Iterator[Task]:
        for task in make_tasks(50):
            taken.append(task.shard.number)
            assert len(taken) - len(pool.submitted) <= 2
            yield task

    drive(pool, tasks())
    assert len(pool.submitted) == 50


def test_no_worker_for_long_is_told() -> None:
    class LatePool(FakePool):
        def wait(self, timeout: float) -> Sequence[Event]:
            if self.now == 190:
                self.announce(Ready(0))
            return super().wait(timeout)

    _, _, progress = drive(LatePool(0, lambda task: "ok", seconds_per_wait=10), make_tasks(1))
    assert progress.notes == ["no worker for 60 s: waiting for the cluster to start one"] * 3


def test_what_the_storage_says_is_passed_on_and_parts_are_reported() -> None:
    (task,) = make_tasks(1)
    part = task.shard.path
    pool = FakePool(1, lambda task: "ok")
    pool.receipt = Receipt({"ok": 3}, skipped=1, part=part, notes=("503, tried again",))
    parts: list[PurePosixPath] = []
    progress = SilentProgress()
    Driver(pool, Policy(), lambda task, error: Receipt(), parts.append, progress).drive([task])
    assert parts == [part]
    assert progress.notes == ["503, tried again"]
    assert progress.rows == {"scores": 4}


def test_what_a_worker_hands_back_is_done_too() -> None:
    (task,) = make_tasks(1)
    pool = FakePool(1, lambda task: "ok")
    pool.receipt = Receipt({"ok": 2}, left=(2, 3))

    def fate(task: Task) -> str:
        if task.indices == (2, 3):
            pool.receipt = None
        return "ok"

    pool.fate = fate
    driver, _, _ = drive(pool, [task])
    assert [tuple(task.indices) for task in pool.submitted] == [(0, 1, 2, 3), (2, 3)]
    assert driver.counts["scores"] == {"ok": 4}


def test_an_error_no_retry_can_cure_ends_the_run_at_once() -> None:
    pool = FakePool(2, lambda task: DatasetError("cannot write part: No space left on device"))
    with pytest.raises(DatasetError, match="No space left"):
        drive(pool, make_tasks(5))
    assert len(pool.submitted) == 2


def test_what_a_worker_had_written_when_it_was_ended_is_counted() -> None:
    pool = FakePool(2, lambda task: "ok")
    interrupted = False

    def wait(timeout: float) -> Sequence[Event]:
        nonlocal interrupted
        if len(pool.submitted) >= 4:
            interrupted = True
            raise KeyboardInterrupt
        return FakePool.wait(pool, timeout)

    pool.wait = wait  # type: ignore[method-assign]
    progress = SilentProgress()
    driver = Driver(pool, Policy(), lambda task, error: Receipt(), lambda part: None, progress, clock=lambda: pool.now)
    with pytest.raises(KeyboardInterrupt):
        driver.drive(make_tasks(6))
    assert interrupted
    reported = driver.counts["scores"]["ok"]
    driver.settle(lambda task: Counter({"ok": 1, "failed": 1}))
    assert (driver.counts["scores"]["ok"], driver.counts["scores"]["failed"]) == (reported + 2, 2)
    driver.settle(lambda task: Counter({"ok": 1}))  # nothing is running any more
    assert driver.counts["scores"]["ok"] == reported + 2


def test_the_first_worker_that_is_ready_begins_the_run() -> None:
    pool = FakePool(2, lambda task: "ok")
    began: list[int] = []
    driver = Driver(
        pool,
        Policy(),
        lambda task, error: Receipt(),
        lambda part: None,
        SilentProgress(),
        begin=lambda: began.append(len(pool.submitted)),
        clock=lambda: pool.now,
    )
    driver.drive(make_tasks(3))
    assert began == [0]
