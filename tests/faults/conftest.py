"""Connects tests to the head node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray

from naswot_ray.run.ray_pool import connect
from tests.faults import workers
from tests.head import Head


@pytest.fixture(scope="module")
def connected(head: Head, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make this process a driver on the head node, for one module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.cloudpickle.register_pickle_by_value(workers)  # actors cannot import the tests
        connect(head.address)
        yield
        ray.shutdown()
