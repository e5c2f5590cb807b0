"""Fixtures of the spaces' tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from naswot_ray.spaces import get_space
from naswot_ray.spaces.nasbench101 import NasBench101


@pytest.fixture(scope="session")
def nasbench101(cache: Path) -> NasBench101:
    """NAS-Bench-101 with all its hashes, computed by the first worker that needs them (about 20 s)."""
    space = get_space("nasbench101")
    assert isinstance(space, NasBench101)
    with FileLock(cache / "nasbench101.lock"):
        space.prepare()
    return space
