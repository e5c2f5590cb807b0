"""Fixtures of all tests."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

import tests.interpreter  # noqa: F401  before a test brings Triton in
from tests import data, loopback, s3, scheduling

torch.set_num_threads(1)

hypothesis.settings.register_profile("busy", deadline=None)  # no example fails for the time that a busy machine takes
hypothesis.settings.load_profile("busy")


def pytest_configure() -> None:
    data.check_variable()
    loopback.enter()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: one more than there are processors, as the tests of whole clusters wait more than they compute."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> scheduling.GroupScheduling:
    config.option.loadscopereorder = False  # by the number of tests; `in_order` knows better
    return scheduling.GroupScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # in a worker of xdist
        items[:] = scheduling.in_order(items)


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with NATS-Bench's official directories of three architectures. Only to be read."""
    return data.copy_nats(tmp_path_factory.mktemp("nats"))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache directory of all tests and all workers: empty at first, never the user's own."""
    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        path = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
        path.mkdir(exist_ok=True)
        patch.setenv("NASWOT_RAY_CACHE", str(path))
        yield path


@pytest.fixture(scope="session")
def s3_server() -> Iterator[s3.S3Server]:
    """A real S3 server; the credentials for it are in the environment."""
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
