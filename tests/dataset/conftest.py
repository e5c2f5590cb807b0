"""Fixtures for the tests of datasets."""

from __future__ import annotations

import pytest

from naswot_ray.dataset.dataset import Dataset
from tests.datasets import score_here


@pytest.fixture(scope="package")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A dataset that a run has written: two architectures in two parts. Tests may only read it."""
    root = tmp_path_factory.mktemp("scored") / "d"
    score_here(root, limit=2, batch_size=[4], seed=[0], shard_size=1)
    return Dataset(root)
