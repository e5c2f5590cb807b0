"""Architectures that crash or hang their worker, and workers that cannot work, on real Ray actors."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

import naswot_ray
from naswot_ray.dataset import manifest
from naswot_ray.dataset.runs import GridRecord
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError, RunError
from naswot_ray.grid.grid import Grid, Task
from naswot_ray.grid.rows import write_failed
from naswot_ray.grid.survey import Survey
from naswot_ray.run import batches
from naswot_ray.run.driver import Driver, Policy
from naswot_ray.run.job import score_spaces
from naswot_ray.run.options import ScoreOptions
from naswot_ray.run.ray_pool import RayPool, WorkerFactory
from naswot_ray.run.receipt import Receipt
from tests.datasets import logical_rows, score_here
from tests.faults.processes import LIMIT_SECONDS
from tests.faults.workers import (
    CULPRIT,
    BrokenDeviceWorker,
    Confined,
    CrashingWorker,
    FrugalWorker,
    HangingWorker,
    RaisingWorker,
    UnstartableWorker,
)
from tests.run.test_driver import SilentProgress

# Small shards: each half of a shard that contains the culprit costs processes that start again.
GRID = {"limit": 8, "batch_size": [4], "seed": [0], "shard_size": 2}


pytestmark = pytest.mark.usefixtures("connected")


SPACE = naswot_ray.get_space("nasbench201")


def drive(root: Path, worker_factory: WorkerFactory, policy: Policy) -> tuple[Driver, SilentProgress]:
    """Fill in the missing rows of a dataset, which a healthy run has begun, with another kind of worker."""
    storage = Storage(root)
    contract = manifest.read(storage)
    record = GridRecord(
        spaces=("nasbench201",), num_architectures=(15_625,), images="noise", batch_sizes=(4,), seeds=(1,), limit=8
    )
    grid = Grid(record, contract.shard_size)
    images = naswot_ray.load_images("noise").batch(4, seed=1)
    pool = RayPool(
        str(root), "test", contract.settings, {SPACE.name: SPACE}, lambda _: images, num_actors=1, worker_factory=worker_factory
    )
    progress = SilentProgress()

    def record_failed(task: Task, error: str) -> Receipt:
        return Receipt(write_failed(storage, SPACE, task, error, "test", contract.settings), part=task.shard.path)

    driver = Driver(pool, policy, record_failed, lambda part: None, progress)
    try:
        driver.drive(Survey(grid, storage, contract.settings).missing())
    finally:
        pool.close()
    return driver, progress


def check_all_but_the_culprit(root: Path, tmp_path: Path, error: str) -> None:
    rows = logical_rows(root)
    score_here(tmp_path / "undisturbed", **{**GRID, "seed": [0, 1]})
    expected = logical_rows(tmp_path / "undisturbed")
    position = 8 + CULPRIT
    assert rows[:position] == expected[:position]
    assert rows[position + 1 :] == expected[position + 1 :]
    culprit = rows[position]
    assert culprit[:3] == expected[position][:3]
    assert any(error in str(value) for value in culprit)
    assert "failed" in culprit


def test_an_architecture_that_crashes_its_process_is_isolated_and_recorded(tmp_path: Path) -> None:
    score_here(tmp_path / "d", **GRID)
    driver, progress = drive(tmp_path / "d", CrashingWorker, Policy(max_attempts=2))
    assert driver.counts["scores"]["failed"] == 1
    assert driver.counts["scores"]["ok"] + driver.counts["scores"]["singular"] == 7
    assert any("trying its halves" in note for note in progress.notes)
    check_all_but_the_culprit(tmp_path / "d", tmp_path, "the worker process died in each of 2 attempts")


def test_an_architecture_that_hangs_is_ended_isolated_and_recorded(tmp_path: Path) -> None:
    score_here(tmp_path / "d", **GRID)
    driver, _ = drive(tmp_path / "d", HangingWorker, Policy(max_attempts=1, shard_timeout=10))
    assert driver.counts["scores"]["failed"] == 1
    check_all_but_the_culprit(tmp_path / "d", tmp_path, "took longer than 10 s in each of 1 attempts")


def test_an_architecture_that_breaks_the_gpu_is_isolated_in_fresh_processes(tmp_path: Path) -> None:
    score_here(tmp_path / "d", **GRID)
    driver, _ = drive(tmp_path / "d", BrokenDeviceWorker, Policy(max_attempts=1))
    assert driver.counts["scores"]["failed"] == 1
    error = "the GPU failed (CUDA error: an illegal memory access was encountered) in each of 1 attempts"
    check_all_but_the_culprit(tmp_path / "d", tmp_path, error)


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A control group whose processes may take 1 GiB together."""
    for parent, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(parent) / f"naswot-ray-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(2**30))
            yield group
            return
        except FileNotFoundError:  # control groups without the memory controller
            continue
        finally:
            _remove_group(group)
    pytest.skip("needs root and control groups of memory")


def test_an_architecture_that_the_kernel_ends_for_its_memory_is_isolated_and_recorded(
    tmp_path: Path, memory_group: Path
) -> None:
    score_here(tmp_path / "d", **GRID)
    driver, _ = drive(tmp_path / "d", Confined(memory_group), Policy(max_attempts=1))
    assert driver.counts["scores"]["failed"] == 1
    check_all_but_the_culprit(tmp_path / "d", tmp_path, "the worker process died in each of 1 attempts")


def test_an_architecture_that_finds_no_memory_is_recorded(tmp_path: Path) -> None:
    score_here(tmp_path / "d", **GRID)
    driver, progress = drive(tmp_path / "d", FrugalWorker, Policy())
    assert driver.counts["scores"]["failed"] == 1
    assert progress.notes == [], "no worker is lost"
    check_all_but_the_culprit(tmp_path / "d", tmp_path, "allocate")


def test_a_worker_that_cannot_write_ends_the_run_with_its_own_message(tmp_path: Path) -> None:
    score_here(tmp_path / "d", **GRID)
    with pytest.raises(DatasetError, match=r"^cannot write part-000000\.parquet: No space left on device$"):
        drive(tmp_path / "d", RaisingWorker, Policy())


def test_a_worker_that_cannot_start_ends_the_run(tmp_path: Path) -> None:
    score_here(tmp_path / "d", **GRID)
    with pytest.raises(RunError, match=r"a scoring actor cannot start: .*libcudart"):
        drive(tmp_path / "d", UnstartableWorker, Policy())


def _remove_group(group: Path) -> None:
    """Remove the group as soon as its last process has ended."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        try:
            group.rmdir()
        except OSError:
            assert time.monotonic() < deadline, (group / "cgroup.procs").read_text()
            time.sleep(0.1)
        else:
            return


def test_a_run_holds_few_batches_in_the_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of the grid does not matter: 10,000 points once took 6.7 GB before the first task."""
    put, batches_put = ray.put, set[bytes]()
    most = [0]

    def counting(value: object) -> Any:
        ref = put(value)
        if isinstance(value, np.ndarray):
            batches_put.add(ref.hex().encode())
            held = ray._private.worker.global_worker.core_worker.get_all_reference_counts()  # type: ignore[attr-defined]
            most[0] = max(most[0], len(batches_put & held.keys()))
        return ref

    monkeypatch.setattr(ray, "put", counting)
    monkeypatch.setattr(batches, "MAX_BYTES", 2 * 4 * 3 * 32 * 32 * 4)
    options = {"limit": 2, "batch_size": [4], "seed": list(range(8))}
    score_spaces(ScoreOptions.checked(output=tmp_path / "few", num_actors=1, **options))
    assert len(batches_put) == 8
    assert 0 < most[0] <= 3, "two that are kept, and that of a task which is just done"
    monkeypatch.undo()
    score_here(tmp_path / "here", **options)
    assert logical_rows(tmp_path / "few") == logical_rows(tmp_path / "here")
