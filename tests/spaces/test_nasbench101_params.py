"""Trainable parameters of all 423,624 trained networks, each from its own graph, equal the benchmark's. Takes ten minutes.

NASWOT_RAY_SLOW_TESTS=1 python -m pytest tests/spaces/test_nasbench101_params.py
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pyarrow.parquet as pq
import pytest

from naswot_ray.spaces.nasbench101 import NasBench101
from tests.data import find_table

CHUNK = 2_000


def params_by_hash(start: int) -> list[tuple[str, int]]:
    space = NasBench101()
    arch_ids = [space[index] for index in range(start, min(start + CHUNK, len(space)))]
    return [(arch_id, space.trained_network(arch_id).params) for arch_id in arch_ids]


@pytest.mark.skipif(not os.environ.get("NASWOT_RAY_SLOW_TESTS"), reason="slow: set NASWOT_RAY_SLOW_TESTS=1")
@pytest.mark.timeout(3600)
def test_params_of_all_cells() -> None:
    table = pq.read_table(find_table("nasbench101.parquet"), columns=["module_hash", "params"]).to_pydict()
    expected = dict(zip(table["module_hash"], table["params"], strict=True))
    starts = range(0, len(expected), CHUNK)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        found = [row for chunk in pool.map(params_by_hash, starts) for row in chunk]
    assert len(found) == len(expected) == 423_624
    assert dict(found) == expected
