"""Two drivers work on one dataset at once. Both finish, and the dataset is correct."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest

from naswot_ray.grid.grid import Task
from naswot_ray.run.driver import Driver
from tests import s3
from tests.cli.running import naswot
from tests.dataset.making import rewrite
from tests.datasets import logical_architectures, logical_rows, part_files, score_here
from tests.faults.processes import actors, finish, start, stopped, wait_until
from tests.head import Head

# Engine exact takes long enough to be stopped in the middle.
GRID = {"limit": 24, "batch_size": [16], "seed": [0, 1], "shard_size": 4, "engine": "exact", "image_size": 16}
ARGS = ["--batch-size", "16", "--seed", "0", "--seed", "1", "--shard-size", "4", "--engine", "exact", "--image-size", "16"]
NUM_ROWS = 48


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The expected dataset, made without Ray. Tests may only read it."""
    root = tmp_path_factory.mktemp("undisturbed") / "d"
    score_here(root, **GRID)
    return root


def test_the_same_command_twice(tmp_path: Path, undisturbed: Path, head: Head) -> None:
    root = tmp_path / "d"
    command = ("score", "-o", str(root), "--limit", "24", "--address", head.address, "--num-actors", "1", *ARGS)
    first = start(tmp_path / "home", *command)
    wait_until(lambda: len(part_files(root)) >= 2, first)
    (actor,) = actors(head.process)
    with stopped(actor):  # waits until the second has begun, however fast the machine is
        second = start(tmp_path / "home", *command)
        num_parts = len(part_files(root))
        wait_until(lambda: len(part_files(root)) > num_parts, second)
    outputs = [finish(process) for process in (first, second)]
    assert [status for status, _ in outputs] == [0, 0], outputs
    assert "has not ended. If it is still running, both runs will finish and the dataset will be right" in outputs[1][1]
    assert logical_rows(root) == logical_rows(undisturbed)
    assert logical_architectures(root) == logical_architectures(undisturbed)
    assert naswot("check", root).exit_code == 0
    scored = sum(int(output.partition(" rows scored")[0].split()[-1]) for _, output in outputs if "rows scored" in output)
    assert scored < 2 * NUM_ROWS - 10, "the second began at the other end, so they shared the work"


def test_the_same_command_twice_on_an_object_store(
    tmp_path: Path, undisturbed: Path, s3_server: s3.S3Server, bucket: str
) -> None:
    root = s3.uri(bucket, "scores", s3_server.port)
    command = ("score", "-o", root, "--limit", "24", "--in-process", *ARGS)

    def num_parts() -> int:
        return sum("/part-" in key for key in s3_server.objects(bucket))

    first = start(tmp_path / "home", *command)
    wait_until(lambda: num_parts() >= 2, first)
    with stopped(psutil.Process(first.pid)):
        second = start(tmp_path / "home", *command)
        before = num_parts()
        wait_until(lambda: num_parts() > before, second)
    outputs = [finish(process) for process in (first, second)]
    assert [status for status, _ in outputs] == [0, 0], outputs
    assert logical_rows(root) == logical_rows(undisturbed)
    assert naswot("check", root).exit_code == 0


def test_rows_that_another_run_overwrites_are_done_again(
    tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an object store, a run that read a part before this one wrote it may write it back without these rows."""
    root, drives = tmp_path / "d", 0
    original = Driver.drive

    def drive(self: Driver, tasks: Iterable[Task]) -> None:
        nonlocal drives
        original(self, tasks)
        drives += 1
        if drives == 1:
            part_files(root)[1].unlink()
            rewrite(part_files(root)[0], lambda table: table.slice(2))

    monkeypatch.setattr(Driver, "drive", drive)
    record = score_here(root, **GRID)
    assert drives == 2
    assert (record.status, record.counts["rows"]) == ("finished", NUM_ROWS + 6)
    monkeypatch.undo()
    assert logical_rows(root) == logical_rows(undisturbed)


def test_runs_that_fill_different_rows_of_the_same_parts(tmp_path: Path, undisturbed: Path) -> None:
    """--limit 14 ends in the middle of a shard of four, which the other run fills up; --sample takes one here, two there."""
    root = tmp_path / "d"
    grids = [("--limit", "14"), ("--limit", "24"), ("--sample", "14")]
    score_here(root, **{**GRID, "limit": 1, "seed": [0]})
    running = []
    with contextlib.ExitStack() as stack:  # each waits until all have begun
        for grid in grids:
            num_runs = len(list((root / "runs").iterdir()))
            process = start(tmp_path / "home", "score", "-o", str(root), *grid, "--in-process", *ARGS)
            running.append(process)
            wait_until(lambda before=num_runs: len(list((root / "runs").glob("*.json"))) > before, process)  # type: ignore[misc]
            stack.enter_context(stopped(psutil.Process(process.pid)))
    for process in running:
        status, output = finish(process)
        assert status == 0, output
    expected = tmp_path / "expected"
    shutil.copytree(undisturbed, expected)
    score_here(expected, **{**GRID, "limit": None}, sample=14)
    assert logical_rows(root) == logical_rows(expected)
    assert naswot("check", root).exit_code == 0
