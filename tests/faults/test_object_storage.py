"""Runs on storage that throttles, fails and loses connections fill the bucket with a dataset that equals an undisturbed one."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from naswot_ray.dataset.dataset import Dataset
from tests import s3
from tests.datasets import logical_architectures, logical_rows, score_here
from tests.faults.processes import LIMIT_SECONDS, actors, finish, start, wait_until
from tests.head import Head

# Engine exact takes long enough to be killed.
GRID = {"limit": 24, "batch_size": [8], "seed": [0, 1], "shard_size": 4, "engine": "exact", "image_size": 16}
ARGS = ["--limit", "24", "--batch-size", "8", "--seed", "0", "--seed", "1", "--shard-size", "4"]
ARGS += ["--engine", "exact", "--image-size", "16"]
NUM_ROWS = 48

FAULTS = [
    s3.Answer(status=500),
    s3.Answer(status=503),
    s3.Answer(drop_body=True),
    s3.Answer(drop_answer=True),
    s3.Answer(delay_seconds=0.3),
]


@pytest.fixture
def root(s3_proxy: s3.Proxy, bucket: str) -> str:
    """The prefix of a dataset, reached through the proxy."""
    return s3.uri(bucket, "scores", s3_proxy.port)


def one_in(num_requests: int, seed: int) -> s3.Fault:
    """Cause one of the faults at one in this many requests, drawn by a seed."""

    def fault(request: s3.Request) -> s3.Answer | None:
        draw = random.Random(f"{seed} {request.number}")
        return draw.choice(FAULTS) if draw.randrange(num_requests) == 0 else None

    return fault


def parts(server: s3.S3Server, bucket: str) -> list[str]:
    return [key for key in server.objects(bucket) if key.startswith("scores/scores/")]


def test_a_killed_run_on_failing_storage_goes_on_where_it_stopped(
    tmp_path: Path, root: str, s3_proxy: s3.Proxy, s3_server: s3.S3Server, bucket: str, head: Head
) -> None:
    s3_proxy.fault = one_in(6, seed=0)
    first = start(tmp_path / "home", "score", "-o", root, *ARGS, "--address", head.address, "--num-actors", "2")
    wait_until(lambda: len(parts(s3_server, bucket)) >= 3, first)
    workers = actors(head.process)
    first.send_signal(signal.SIGKILL)
    finish(first)
    psutil.wait_procs(workers, timeout=LIMIT_SECONDS)  # an actor may still finish its shard
    done = Dataset(root).scores.count_rows()
    assert 0 < done < NUM_ROWS

    status, output = finish(start(tmp_path / "home", "score", "-o", root, *ARGS, "--in-process"))
    assert status == 0, output
    s3_proxy.fault = lambda request: None
    score_here(tmp_path / "undisturbed", **GRID)
    assert logical_rows(root) == logical_rows(tmp_path / "undisturbed")
    assert logical_architectures(root) == logical_architectures(tmp_path / "undisturbed")
    assert [record.counts.get("rows") for record in Dataset(root).runs] == [None, NUM_ROWS - done]


@pytest.fixture
def denied_after_a_while(s3_proxy: s3.Proxy) -> Iterator[None]:
    """A bucket that accepts three parts and then no more."""
    s3_proxy.fault = lambda request: s3.Answer(status=403) if request.method == "PUT" and s3_proxy.count("PUT") > 8 else None
    yield
    s3_proxy.fault = lambda request: None


@pytest.mark.usefixtures("denied_after_a_while")
def test_a_bucket_that_takes_no_more_ends_the_run_with_one_line(tmp_path: Path, root: str, s3_proxy: s3.Proxy) -> None:
    status, output = finish(start(tmp_path / "home", "score", "-o", root, "--in-process", *ARGS))
    assert status == 2, output
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("error:")]
    assert "cannot write s3://" in line
    assert "ACCESS_DENIED" in line
    assert not any(secret in output for secret in s3.CREDENTIALS.values())
    rows = Dataset(root).scores.count_rows()
    assert rows % 4 == 0, "every part that is there is whole"
