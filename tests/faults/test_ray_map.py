"""Functions applied on real Ray workers: in order, lazily, and again if a process dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from naswot_ray.images.source import load_images
from naswot_ray.run.ray_map import TASKS_PER_CPU, ray_map
from naswot_ray.search.criterion import Criterion
from naswot_ray.search.live_scores import LiveProblem
from naswot_ray.spaces import get_space
from tests.faults import workers

pytestmark = pytest.mark.usefixtures("connected")


def test_results_come_in_order_from_other_processes() -> None:
    pids = list(ray_map(workers.square_and_pid, range(20)))
    assert [square for square, _ in pids] == [i * i for i in range(20)]
    assert os.getpid() not in {pid for _, pid in pids}


def test_items_are_taken_as_there_is_room() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for i in range(1000):
            taken.append(i)
            yield i

    results = ray_map(workers.square_and_pid, items())
    assert next(results)[0] == 0
    assert len(taken) <= TASKS_PER_CPU * int(ray.cluster_resources()["CPU"])
    results.close()


def test_an_error_is_the_functions() -> None:
    with pytest.raises(ValueError, match="no 3"):
        list(ray_map(workers.refuse_three, range(5)))


def test_a_process_that_dies_is_replaced(tmp_path: Path) -> None:
    assert list(ray_map(workers.DiesOnce(tmp_path / "died"), range(3))) == [0, 1, 2]
    assert (tmp_path / "died").exists()


def test_a_live_search_scores_the_same() -> None:
    space, images = get_space("nasbench201"), load_images("noise").batch(4, 0)
    criterion, numbers = Criterion("log_rank_sum", ("meco", "naswot", "num_relus")), [3, 1, 2]
    here = LiveProblem(space, criterion, images, 0)
    there = LiveProblem(space, criterion, images, 0, mapping=ray_map)
    assert [parts for parts, _ in there.score_all(numbers)] == [here.score(number)[0] for number in numbers]
