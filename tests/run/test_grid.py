"""The grid, its shards, and what is left to do of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from naswot_ray.dataset import parts, schema
from naswot_ray.dataset.runs import GridRecord
from naswot_ray.dataset.storage import Storage
from naswot_ray.run.grid import Batch, Grid, Shard
from naswot_ray.run.worker import architecture_row, empty_score_row
from naswot_ray.spaces import get_space

SPACE = get_space("nasbench201")


def make_grid(
    limit: int | None = 10, *, sample: int | None = None, seeds: tuple[int, ...] = (0,), batch_sizes: tuple[int, ...] = (4,)
) -> Grid:
    record = GridRecord(
        spaces=("nasbench201",),
        num_architectures=(15_625,),
        images="noise",
        batch_sizes=batch_sizes,
        seeds=seeds,
        limit=limit,
        sample=sample,
    )
    return Grid(record, 4)


def write_rows(storage: Storage, shard: Shard, indices: list[int], status: str = "ok") -> None:
    if shard.batch is None:
        parts.write(storage, shard.path, schema.ARCHITECTURES, [architecture_row(SPACE, i) for i in indices])
        return
    rows = [empty_score_row(SPACE, i, shard.batch, device="cpu", run_id="r") | {"status": status} for i in indices]
    parts.write(storage, shard.path, schema.SCORES, rows)


def fill(storage: Storage, grid: Grid) -> None:
    for task in grid.missing(storage, retry_failed=False):
        write_rows(storage, task.shard, list(task.indices))


def test_the_whole_space_is_covered_once() -> None:
    shards = [s for s in make_grid(limit=None).shards() if s.batch is not None]
    assert [i for shard in shards for i in shard.range] == list(range(15_625))


def test_the_last_shard_ends_with_the_space() -> None:
    *_, last = make_grid(limit=None).shards()
    assert (last.number, last.range) == (3906, range(15_624, 15_625))


def test_a_new_dataset_misses_everything(tmp_path: Path) -> None:
    tasks = make_grid(seeds=(0, 1), batch_sizes=(4, 8)).missing(Storage(tmp_path), retry_failed=False)
    assert sum(len(t.indices) for t in tasks if t.shard.batch is None) == 10
    assert sum(len(t.indices) for t in tasks if t.shard.batch == Batch("noise", 8, 1)) == 10
    assert len(tasks) == 3 * 5


def test_what_is_there_is_not_done_again(tmp_path: Path) -> None:
    storage, grid = Storage(tmp_path), make_grid()
    fill(storage, grid)
    assert grid.missing(storage, retry_failed=False) == []


def test_a_larger_limit_fills_up_the_part_that_the_smaller_one_cut(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    fill(storage, make_grid(limit=10))
    tasks = [t for t in make_grid(limit=15).missing(storage, retry_failed=False) if t.shard.batch]
    assert [(t.shard.number, t.indices) for t in tasks] == [(2, (10, 11)), (3, (12, 13, 14))]


def test_a_smaller_limit_misses_nothing(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    fill(storage, make_grid(limit=15))
    assert make_grid(limit=6).missing(storage, retry_failed=False) == []


def test_failed_rows_are_done_again_only_on_request(tmp_path: Path) -> None:
    storage, grid = Storage(tmp_path), make_grid()
    fill(storage, grid)
    shard = next(s for s in grid.shards() if s.batch is not None and s.number == 1)
    write_rows(storage, shard, [6], status="failed")
    assert grid.missing(storage, retry_failed=False) == []
    assert [(t.shard, t.indices) for t in grid.missing(storage, retry_failed=True)] == [(shard, (6,))]


def test_coverage_counts_wanted_present_and_failed(tmp_path: Path) -> None:
    storage, grid = Storage(tmp_path), make_grid()
    shards = [s for s in grid.shards() if s.batch is not None]
    write_rows(storage, shards[0], [0, 1, 3])
    write_rows(storage, shards[2], [8], status="failed")
    coverage = grid.coverage(storage)
    batch = Batch("noise", 4, 0)
    assert (coverage["nasbench201", batch].wanted, coverage["nasbench201", batch].present) == (10, 4)
    assert coverage["nasbench201", batch].failed == 1
    assert coverage["nasbench201", None].present == 0


@pytest.mark.parametrize("limit", [1, 4, 5, 15_625, 20_000])
def test_the_limit_takes_the_first_architectures(limit: int) -> None:
    assert make_grid(limit=limit).positions("nasbench201") == range(min(limit, 15_625))


def test_a_sample_is_random_and_part_of_every_larger_one() -> None:
    small, large = (make_grid(None, sample=n).positions("nasbench201") for n in (100, 1000))
    assert len(set(small)) == 100
    assert set(small) < set(large) < set(range(15_625))
    assert list(large) == sorted(large)
    assert 7000 < sum(large) / 1000 < 8600
    assert len(make_grid(None, sample=20_000).positions("nasbench201")) == 15_625


def test_a_sample_is_done_in_the_shards_it_lies_in(tmp_path: Path) -> None:
    storage, grid = Storage(tmp_path), make_grid(None, sample=50)
    tasks = [task for task in grid.missing(storage, retry_failed=False) if task.shard.batch]
    assert sorted(i for task in tasks for i in task.indices) == list(grid.positions("nasbench201"))
    assert all(i in task.shard.range for task in tasks for i in task.indices)
    fill(storage, grid)
    assert grid.missing(storage, retry_failed=False) == []
    coverage = grid.coverage(storage)["nasbench201", Batch("noise", 4, 0)]
    assert (coverage.wanted, coverage.present) == (50, 50)
    whole = make_grid(None).missing(storage, retry_failed=False)
    assert sum(len(task.indices) for task in whole if task.shard.batch) == 15_625 - 50
