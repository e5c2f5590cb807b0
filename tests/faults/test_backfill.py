"""A measure is filled in under the same disturbances as rows: killed runs, two drivers, an object store."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from naswot_ray.dataset import part_footer
from tests import s3
from tests.cli.running import naswot
from tests.datasets import logical_rows, part_files, score_here
from tests.faults.processes import LIMIT_SECONDS, actors, finish, start, stopped, wait_until
from tests.head import Head

GRID: dict[str, Any] = {"limit": 24, "batch_size": [16], "seed": [0, 1], "shard_size": 4, "engine": "exact", "image_size": 16}
ARGS = ["--limit", "24", "--batch-size", "16", "--seed", "0", "--seed", "1", "--engine", "exact", "--image-size", "16"]
NUM_PARTS = 12


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with one measure. Tests may only copy it."""
    root = tmp_path_factory.mktemp("begun") / "d"
    score_here(root, **GRID, measure=["naswot"])
    return root


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The expected dataset, scored in one run. Tests may only read it."""
    root = tmp_path_factory.mktemp("undisturbed") / "d"
    score_here(root, **GRID, measure=["naswot", "meco", "swap"])
    return root


def num_filled(root: Path, *measures: str) -> int:
    """Number of parts that hold all of some measures."""
    return sum(_held(path) >= set(measures) for path in part_files(root))


def _held(path: Path) -> set[str]:
    told = json.loads(pq.read_schema(path).metadata[part_footer.MEASURES_KEY])
    return {name for name, (_, lacking) in told.items() if lacking == 0}


@pytest.mark.parametrize("victim", ["driver", "actor"])
def test_a_backfill_that_is_killed_goes_on_where_it_stopped(
    tmp_path: Path, begun: Path, undisturbed: Path, head: Head, victim: str
) -> None:
    root = tmp_path / "d"
    shutil.copytree(begun, root)
    before = logical_rows(root)
    more = ["--measure", "meco", "--measure", "swap"]
    first = start(tmp_path / "home", "score", "-o", str(root), "--num-actors", "1", "--address", head.address, *ARGS, *more)
    wait_until(lambda: num_filled(root, "meco", "swap") >= 2, first)
    if victim == "driver":
        workers = actors(head.process)
        first.send_signal(signal.SIGKILL)
        finish(first)
        psutil.wait_procs(workers, timeout=LIMIT_SECONDS)  # an actor may still finish its part
        done = num_filled(root, "meco", "swap")
        assert 0 < done < NUM_PARTS
        record = score_here(root, **GRID, measure=["meco", "swap"])
        assert record.counts["rows"] <= 4 * (NUM_PARTS - done)
    else:
        for actor in actors(head.process):
            actor.kill()
        status, output = finish(first)
        assert status == 0, output
        assert "the worker process died; trying again" in output
    assert logical_rows(root) == logical_rows(undisturbed)
    assert before != logical_rows(root)
    assert naswot("check", root).exit_code == 0


def test_two_drivers_that_fill_different_measures(tmp_path: Path, begun: Path, undisturbed: Path) -> None:
    root = tmp_path / "d"
    shutil.copytree(begun, root)
    running = []
    with contextlib.ExitStack() as stack:  # each waits until both have begun
        for measure in ("meco", "swap"):
            process = start(tmp_path / "home", "score", "-o", str(root), "--in-process", *ARGS, "--measure", measure)
            running.append(process)
            wait_until(lambda name=measure: num_filled(root, name) >= 1, process)  # type: ignore[misc]
            stack.enter_context(stopped(psutil.Process(process.pid)))
    for process in running:
        status, output = finish(process)
        assert status == 0, output
    assert logical_rows(root) == logical_rows(undisturbed)
    assert naswot("check", root).exit_code == 0


def test_on_an_object_store(tmp_path: Path, undisturbed: Path, s3_server: s3.S3Server, bucket: str) -> None:
    root = s3.uri(bucket, "scores", s3_server.port)
    score_here(root, **GRID, measure=["naswot"])
    score_here(root, **{**GRID, "limit": 14}, measure=["meco"])
    score_here(root, **GRID, measure=["naswot", "meco", "swap"])
    assert logical_rows(root) == logical_rows(undisturbed)
    assert naswot("check", root).exit_code == 0
