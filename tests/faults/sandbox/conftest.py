"""One sandbox cluster for all faults of whole machines. Each test leaves it working."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.sandbox import Sandbox, unavailable
from tests import s3
from tests.datasets import score_here
from tests.faults.sandbox.jobs import GRID

SOON = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
    "AUTOSCALER_HEARTBEAT_TIMEOUT_S": "10",
}
"""Shortens Ray's waiting: it notices a lost node after about 14 s instead of 63, and starts Ray there again after 10 s, not
30."""


@pytest.fixture(scope="package")
def shared_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all machines see."""
    return tmp_path_factory.mktemp("disk")


@pytest.fixture(scope="package")
def sandbox(shared_disk: Path, cache: Path) -> Iterator[Sandbox]:
    """A head and two workers with one CPU each. They share the tests' cache, since compiling kernels on each takes longer than
    a job."""
    if reason := unavailable():
        pytest.skip(reason)
    environment = {**SOON, **s3.CREDENTIALS, "NASWOT_RAY_CACHE": str(cache), "RAY_prestart_worker_first_driver": "0"}
    with Sandbox(num_workers=2, shared=[shared_disk, cache], environment=environment) as sandbox:
        sandbox.ray_up()
        yield sandbox


@pytest.fixture(scope="package")
def undisturbed(sandbox: Sandbox, shared_disk: Path) -> Path:
    """The expected dataset, made without Ray."""
    score_here(shared_disk / "undisturbed", **GRID)
    return shared_disk / "undisturbed"
