"""Fixtures of the spaces' tests."""

from __future__ import annotations

import pytest

from naswot_ray.spaces import get_space
from naswot_ray.spaces.nasbench101 import NasBench101


@pytest.fixture(scope="session")
def nasbench101() -> NasBench101:
    """NAS-Bench-101 with all its hashes, computed once per session (about 20 s)."""
    space = get_space("nasbench101")
    assert isinstance(space, NasBench101)
    space.prepare()
    return space
