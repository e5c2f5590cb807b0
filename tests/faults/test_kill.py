"""Processes are really killed, and afterwards the dataset equals an undisturbed one row for row."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

import naswot_ray
from naswot_ray.dataset.runs import RunRecord
from tests.datasets import logical_architectures, logical_rows, part_files, score_here
from tests.faults.processes import LIMIT_SECONDS, actors, finish, start, wait_until
from tests.head import Head

# Engine exact takes long enough to be disturbed.
GRID = {"limit": 24, "batch_size": [16], "seed": [0, 1], "shard_size": 4, "engine": "exact", "image_size": 16}
ARGS = ["--limit", "24", "--batch-size", "16", "--seed", "0", "--seed", "1", "--shard-size", "4"]
ARGS += ["--engine", "exact", "--image-size", "16"]
NUM_ROWS = 48


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The expected dataset, made without Ray. Tests may only read it."""
    root = tmp_path_factory.mktemp("undisturbed") / "d"
    score_here(root, **GRID)
    return root


def assert_equal(root: Path, undisturbed: Path) -> None:
    assert logical_rows(root) == logical_rows(undisturbed)
    assert logical_architectures(root) == logical_architectures(undisturbed)


def rows_there(root: Path) -> int:
    return sum(pq.read_metadata(path).num_rows for path in part_files(root))


def records(root: Path) -> list[RunRecord]:
    return naswot_ray.open(root).runs


@pytest.mark.parametrize(
    ("number", "exit_status", "record_status"),
    [(signal.SIGKILL, -9, "running"), (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 130, "interrupted")],
)
def test_a_run_whose_driver_ends_goes_on_where_it_stopped(
    tmp_path: Path, undisturbed: Path, head: Head, number: signal.Signals, exit_status: int, record_status: str
) -> None:
    """The killed run has a Ray of its own, which ends with it. The others run on a cluster, which continues."""
    root = tmp_path / "d"
    where = [] if number == signal.SIGKILL else ["--address", head.address]
    first = start(tmp_path / "home", "score", "-o", str(root), "--num-actors", "1", *where, *ARGS)
    wait_until(lambda: len(part_files(root)) >= 2, first)
    workers = actors(head.process if where else first)
    first.send_signal(number)
    status, output = finish(first)
    _, alive = psutil.wait_procs(workers, timeout=LIMIT_SECONDS)  # an actor may still finish its shard
    assert workers
    assert not alive, "an actor outlives its driver"
    assert status == exit_status, output
    assert "Traceback" not in output
    done = rows_there(root)
    assert 0 < done < NUM_ROWS

    score_here(root, **GRID)
    assert_equal(root, undisturbed)
    by_status = {record.status: record for record in records(root)}
    assert by_status.keys() == {record_status, "finished"}
    assert by_status["finished"].counts["rows"] == NUM_ROWS - done


def test_killed_actors_cost_nothing(tmp_path: Path, undisturbed: Path, head: Head) -> None:
    root = tmp_path / "d"
    driver = start(tmp_path / "home", "score", "-o", str(root), "--address", head.address, "--num-actors", "2", *ARGS)
    wait_until(lambda: len(part_files(root)) >= 2, driver)
    one, *_ = actors(head.process)
    one.kill()
    wait_until(lambda: len(part_files(root)) >= 5, driver)
    killed = actors(head.process)
    for actor in killed:  # every process at once
        actor.kill()
    status, output = finish(driver)
    assert status == 0, output
    assert killed
    assert "the worker process died; trying again (1 of 3)" in output
    assert_equal(root, undisturbed)
    (record,) = records(root)
    assert record.counts["rows"] == NUM_ROWS


def test_a_full_disk_ends_the_run_with_one_line_and_the_next_one_goes_on(tmp_path: Path, undisturbed: Path, head: Head) -> None:
    root = tmp_path / "small"
    root.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(root)], capture_output=True).returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        where = ["--address", head.address, "--num-actors", "1"]
        status, output = finish(start(tmp_path / "home", "score", "-o", str(root / "d"), *where, *ARGS))
        assert status == 2, output
        assert "Traceback" not in output
        (line,) = [line for line in output.splitlines() if line.startswith("error:")]
        assert "cannot write" in line
        assert "No space left on device; free space" in line
        assert 0 < rows_there(root / "d") < NUM_ROWS, "every part that is there is whole"

        subprocess.run(["mount", "-o", "remount,size=4m", str(root)], check=True)
        score_here(root / "d", **GRID)
        assert_equal(root / "d", undisturbed)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)
