"""Fixtures of all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests import loopback

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
