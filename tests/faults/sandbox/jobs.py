"""The job that the faults of whole machines disturb, and its comparison with an undisturbed run."""

from __future__ import annotations

import csv
import os
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
GRID = {"limit": 32, "batch_size": [32], "seed": [0, 1, 2], "shard_size": SHARD_SIZE, "engine": "exact"}
ARGS = ["--limit", "32", "--batch-size", "32", "--seed", "0", "--seed", "1", "--seed", "2", "--shard-size", str(SHARD_SIZE)]
ARGS += ["--engine", "exact"]
NUM_ROWS = 96

LIMIT_SECONDS = 300.0
"""For what takes seconds on a machine that is not busy with something else."""


def rows_there(root: Path) -> int:
    """Rows of the scores table that are written."""
    return sum(pq.read_metadata(path).num_rows for path in part_files(root))


def wait_until(condition: Callable[[], bool], what: str, *, every: float = 0.05) -> None:
    """Wait for something that happens in other processes; looks every so many seconds."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not in {LIMIT_SECONDS:.0f} s: {what}"
        time.sleep(every)


class Job:
    """A submitted `jobs/score.py` of the grid.

    Args:
        sandbox: where.
        root: the dataset, in a directory that all machines see or in a bucket.
        log: where its output goes, after that of earlier jobs.
    """

    def __init__(self, sandbox: Sandbox, root: Path | str, log: Path | None = None) -> None:
        self._root = root
        self._log = log or Path(f"{root}.log")
        with self._log.open("ab") as file:
            self._process: subprocess.Popen[str] = sandbox.submit(
                "python", "jobs/score.py", "--output", str(root), *ARGS, output=file
            )

    @property
    def output(self) -> str:
        """What was printed so far, by earlier jobs on the same dataset too."""
        return self._log.read_text()

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.poll()

    def wait_for_rows(self, count: int, rows: Callable[[], int] | None = None) -> int:
        """Wait until so many rows are written, as `rows` tells where the dataset is in a bucket; returns how many are."""
        every = 0.5 if rows else 0.05  # to look into a bucket takes a process
        rows = rows or (lambda: rows_there(Path(self._root)))
        there = 0

        def enough() -> bool:
            nonlocal there
            there = rows()
            return self.status is not None or there >= count

        wait_until(enough, f"{count} rows", every=every)
        assert self.status is None, self.output
        return there

    def finish(self) -> int:
        """Wait for the end: the exit status."""
        wait_until(lambda: self.status is not None, "the end of the job")
        return self._process.wait()

    def abandon(self) -> None:
        """Stop following the job, wherever it is."""
        self._process.kill()
        self._process.wait()


def assert_equal(root: Path, undisturbed: Path) -> None:
    """Row for row, with nothing to repair."""
    assert logical_rows(root) == logical_rows(undisturbed)
    assert logical_architectures(root) == logical_architectures(undisturbed)
    checked = naswot("check", root)
    assert checked.exit_code == 0, checked.output


def tell(fault: str, rows_then: int) -> None:
    """One line of the table of faults, for a dataset that has been found equal."""
    line = [fault, f"{rows_then} of {NUM_ROWS} rows", f"{NUM_ROWS} rows", "equal"]
    print(*line, sep=" | ")
    if table := os.environ.get("NASWOT_RAY_FAULT_TABLE"):
        with Path(table).open("a", newline="") as file:
            csv.writer(file).writerow(line)
