"""The job that faults of whole machines disturb, and its comparison with an undisturbed run."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from cluster.sandbox import Sandbox
from tests.cli.running import naswot
from tests.datasets import logical_architectures, logical_rows, part_files

SHARD_SIZE = 4
# Engine exact takes long enough to be disturbed.
GRID = {"limit": 32, "batch_size": [32], "seed": [0, 1], "shard_size": SHARD_SIZE, "engine": "exact", "image_size": 16}
ARGS = ["--limit", "32", "--batch-size", "32", "--seed", "0", "--seed", "1", "--shard-size", str(SHARD_SIZE)]
ARGS += ["--engine", "exact", "--image-size", "16"]
NUM_ROWS = 64

ACTOR = r"^ray::WorkerActor"
"""Command line of an actor. While it works on a task, it is `ray::WorkerActor.run`."""

LIMIT_SECONDS = 300.0
"""A time limit for what takes seconds on a machine that is not busy."""


def rows_there(root: Path) -> int:
    """Number of rows written to the scores table."""
    return sum(pq.read_metadata(path).num_rows for path in part_files(root))


def wait_until(condition: Callable[[], bool], what: str, *, every: float = 0.05) -> None:
    """Wait for something that happens in other processes, looking at this interval of seconds."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not in {LIMIT_SECONDS:.0f} s: {what}"
        time.sleep(every)


class Job:
    """A submitted `jobs/score.py` of the grid.

    Args:
        sandbox: the cluster on which it runs.
        root: the dataset, in a directory that all machines see or in a bucket.
        log: the file to which its output is appended.
    """

    def __init__(self, sandbox: Sandbox, root: Path | str, log: Path | None = None) -> None:
        self._sandbox = sandbox
        self._root = root
        self._log = log or Path(f"{root}.log")
        with self._log.open("ab") as file:
            self._process: subprocess.Popen[str] = sandbox.submit(
                "python", "jobs/score.py", "--output", str(root), *ARGS, output=file
            )

    @property
    def output(self) -> str:
        """What has been printed so far, including by earlier jobs on the same dataset."""
        return self._log.read_text()

    @property
    def status(self) -> int | None:
        """The exit status; None while the job runs."""
        return self._process.poll()

    def hold(self, count: int, rows: Callable[[], int] | None = None) -> int:
        """Let the job write some rows, then stop its actors. It cannot end before `let_go`, however fast the machine is.

        Actors that start later do work, but a stopped one keeps its task.

        Args:
            count: the least number of rows to wait for.
            rows: counts the rows that are written, if the dataset is in a bucket.

        Returns:
            the number of rows that are written.
        """
        rows = rows or (lambda: rows_there(Path(self._root)))
        wait_until(lambda: self.status is not None or self._has_begun(), "the first task")

        def enough() -> bool:
            self._signal(signal.SIGSTOP)
            if self.status is not None or rows() >= count:
                return True
            self.let_go()
            return False

        wait_until(enough, f"{count} rows", every=0.1)
        assert self.status is None, self.output
        return rows()

    def let_go(self, *names: str) -> None:
        """Let the actors of some machines continue, or those of all."""
        self._signal(signal.SIGCONT, *names)

    def _has_begun(self) -> bool:
        machines = self._sandbox.machines
        return any(
            command == "ray::WorkerActor.run" for name in machines.running for command in machines.processes(name).values()
        )

    def _signal(self, number: signal.Signals, *names: str) -> None:
        for name in names or self._sandbox.machines.running:
            self._sandbox.machines.kill(name, ACTOR, number)

    def finish(self) -> int:
        """Wait for the end, and return the exit status."""
        wait_until(lambda: self.status is not None, "the end of the job")
        return self._process.wait()

    def abandon(self) -> None:
        """Stop following the job, wherever it runs."""
        self._process.kill()
        self._process.wait()


def assert_equal(root: Path, undisturbed: Path) -> None:
    """Check that the dataset is equal row for row, and that there is nothing to repair."""
    assert logical_rows(root) == logical_rows(undisturbed)
    assert logical_architectures(root) == logical_architectures(undisturbed)
    checked = naswot("check", root)
    assert checked.exit_code == 0, checked.output


def tell(fault: str, rows_then: int) -> None:
    """One line of the table of faults, for a dataset that was found equal."""
    line = [fault, f"{rows_then} of {NUM_ROWS} rows", f"{NUM_ROWS} rows", "equal"]
    print(*line, sep=" | ")
    if table := os.environ.get("NASWOT_RAY_FAULT_TABLE"):
        with Path(table).open("a", newline="") as file:
            csv.writer(file).writerow(line)
