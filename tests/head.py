"""Starts a Ray head node that the tests of one process share, since starting one takes as long as a small run on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests import s3
from tests.faults.processes import LIMIT_SECONDS, environment

RAY = Path(sys.executable).with_name("ray")
NUM_CPUS = 2


@dataclass(frozen=True)
class Head:
    """A running head node.

    Attributes:
        process: the process that started it; the node's processes are its descendants.
        address: `host:port`, for `--address`.
        metrics_url: the URL of its Prometheus metrics.
        environment: the environment of a user whose `ray job submit` goes to this node.
    """

    process: subprocess.Popen[str]
    address: str
    metrics_url: str
    environment: Mapping[str, str]


@contextlib.contextmanager
def running(home: Path) -> Iterator[Head]:
    """Start a head node on free ports of the loopback interface. It ends with the context."""
    gcs, dashboard, metrics = (free_port() for _ in range(3))
    temporary = Path("/tmp") / f"ray-tests-{os.getpid()}"  # a short path: Ray puts sockets below it
    variables = environment(home)
    variables["RAY_metrics_report_interval_ms"] = "1000"  # instead of ten seconds, during which the tests' jobs would continue
    variables |= {**s3.CREDENTIALS, "PATH": f"{RAY.parent}{os.pathsep}{variables['PATH']}"}
    process = subprocess.Popen(
        [
            str(RAY), "start", "--head", "--block", f"--port={gcs}", "--dashboard-host=127.0.0.1",
            f"--dashboard-port={dashboard}", f"--metrics-export-port={metrics}", f"--num-cpus={NUM_CPUS}",
            f"--temp-dir={temporary}", "--disable-usage-stats",
        ],
        env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        _wait_for_dashboard(f"http://127.0.0.1:{dashboard}/api/version", process)
        variables["RAY_API_SERVER_ADDRESS"] = f"http://127.0.0.1:{dashboard}"
        yield Head(process, f"127.0.0.1:{gcs}", f"http://127.0.0.1:{metrics}/metrics", variables)
    finally:
        process.terminate()
        process.communicate(timeout=LIMIT_SECONDS)
        shutil.rmtree(temporary, ignore_errors=True)


def free_port() -> int:
    """A port of the loopback interface on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_dashboard(url: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the dashboard does not answer"
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
