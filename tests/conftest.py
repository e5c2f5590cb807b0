"""Fixtures that all tests share."""

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from filelock import FileLock

import tests.interpreter  # noqa: F401  before a test brings Triton in
from naswot_ray.spaces import get_space
from naswot_ray.spaces.nasbench101 import NasBench101
from naswot_ray.spaces.nasbench101_hashes import CACHE_FILE
from tests import data, head, loopback, s3, scheduling
from tests.spaces.nasbench101_table import published_digests

torch.set_num_threads(1)

hypothesis.settings.register_profile("busy", deadline=None)  # no example fails because a busy machine takes longer
hypothesis.settings.load_profile("busy")


def pytest_configure() -> None:
    data.check_variable()
    # Otherwise each Ray would start processes that no test uses, which takes 1.5 s of a processor.
    os.environ |= {"RAY_prestart_worker_first_driver": "0"}
    loopback.enter()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: two more than there are processors, at most eight.

    The tests of clusters, which make three groups, often wait. Beside them, others keep the processors busy. More workers
    would not help, as the tests of a group stay together, and each worker takes 0.7 GB.
    """
    num_cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(num_cpus + 2, 8)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> scheduling.GroupScheduling:
    config.option.loadscopereorder = False  # xdist orders by number of tests; `in_order` knows better
    return scheduling.GroupScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # inside a worker of xdist
        items[:] = scheduling.in_order(items)


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with NATS-Bench's official directories of three architectures. Tests may only read it."""
    return data.copy_nats(tmp_path_factory.mktemp("nats"))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache directory of all tests and workers of this run. It is empty at first, and never the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        path = _common(tmp_path_factory) / "cache"
        path.mkdir(exist_ok=True)
        patch.setenv("NASWOT_RAY_CACHE", str(path))
        yield path


@pytest.fixture(scope="session")
def nasbench101(cache: Path) -> NasBench101:
    """NAS-Bench-101 with all its hashes. The first worker that needs them puts them into the cache for all.

    The hashes come from the benchmark's table if the tests have it; otherwise they are computed, which takes about 20 s. The
    space takes no cache whose digest is not the one that it knows.
    """
    space = get_space("nasbench101")
    assert isinstance(space, NasBench101)
    with FileLock(cache / "nasbench101.lock"):
        table = data.find_given("benchmarks", "nasbench101.parquet")
        if table is not None and not (cache / CACHE_FILE).exists():
            (cache / CACHE_FILE).write_bytes(published_digests(table))
        space.prepare()
    return space


def _common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The temporary directory of this run, shared by all its workers."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session", name="head")
def _head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[head.Head]:
    """A Ray head node with two CPUs. A test must not leave a job running on it."""
    with head.running(tmp_path_factory.mktemp("head") / "home") as node:
        yield node


@pytest.fixture(scope="session")
def s3_server() -> Iterator[s3.S3Server]:
    """A real S3 server. The environment holds its credentials."""
    with pytest.MonkeyPatch.context() as patch, s3.serving() as server:
        for name, value in s3.CREDENTIALS.items():
            patch.setenv(name, value)
        yield server


_numbers = itertools.count()


@pytest.fixture
def bucket(s3_server: s3.S3Server) -> str:
    """The name of a new bucket."""
    name = f"bucket-{next(_numbers)}"
    s3_server.make_bucket(name)
    return name


@pytest.fixture
def s3_proxy(s3_server: s3.S3Server) -> Iterator[s3.Proxy]:
    """A proxy in front of the server, without faults at first."""
    with s3.proxying(s3_server) as proxy:
        yield proxy
