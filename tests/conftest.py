"""Fixtures of all tests."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import tests.interpreter  # noqa: F401  before a test brings Triton in
from tests import loopback, s3

SHARED = Path(__file__).parents[1].parent / "shared"
"""Parity vectors, benchmark tables and images for development, beside the repository. Not published, so absent elsewhere."""

torch.set_num_threads(1)


def pytest_configure() -> None:
    loopback.enter()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of development data; skips the test where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs {SHARED.name}/ beside the repository")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache directory of all tests: empty at first, never the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("cache")
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
