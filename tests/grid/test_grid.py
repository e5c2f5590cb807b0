"""The grid, its shards, and which of them are left to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from naswot_ray.dataset.rows import TableRow
from naswot_ray.dataset.runs import GridRecord
from naswot_ray.dataset.storage import Storage
from naswot_ray.grid import rows as grid_rows
from naswot_ray.grid.grid import Batch, Grid, Point, Shard, Task, default_shard_size
from naswot_ray.grid.rows import architecture_row, failed_score_row
from naswot_ray.grid.survey import Survey
from naswot_ray.measures import DEFAULT_MEASURES
from naswot_ray.spaces import get_space
from tests.dataset.making import settings

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


def missing(storage: Storage, grid: Grid, *, retry_failed: bool = False) -> list[Task]:
    return list(Survey(grid, storage, settings()).missing(retry_failed=retry_failed))


def shards(grid: Grid) -> list[Shard]:
    point = Point("nasbench201", Batch("noise", 4, 0))
    return [grid.shard(point, number) for number in grid.numbers(point)]


def write_rows(storage: Storage, shard: Shard, indices: list[int], status: str = "ok") -> None:
    batch = shard.point.batch
    if batch is None:
        rows: list[TableRow] = [architecture_row(SPACE, i) for i in indices]
    else:
        values = {"naswot": 1.0, "naswot_paper": 1.0} if status == "ok" else {}
        failed = [failed_score_row(SPACE, i, batch, "it died", run_id="r") for i in indices]
        rows = [replace(row, values=values, error=None if values else row.error) for row in failed]
    grid_rows.write_rows(storage, shard, rows, "run", settings(), DEFAULT_MEASURES)


def fill(storage: Storage, grid: Grid) -> None:
    for task in missing(storage, grid):
        write_rows(storage, task.shard, list(task.indices))


def test_the_whole_space_is_covered_once() -> None:
    assert [i for shard in shards(make_grid(limit=None)) for i in shard.range] == list(range(15_625))


def test_the_last_shard_ends_with_the_space() -> None:
    *_, last = shards(make_grid(limit=None))
    assert (last.number, last.range) == (3906, range(15_624, 15_625))


def test_a_new_dataset_misses_everything(tmp_path: Path) -> None:
    tasks = missing(Storage(tmp_path), make_grid(seeds=(0, 1), batch_sizes=(4, 8)))
    assert sum(len(t.indices) for t in tasks if t.shard.point.batch is None) == 10
    assert sum(len(t.indices) for t in tasks if t.shard.point.batch == Batch("noise", 8, 1)) == 10
    assert len(tasks) == 3 * 5


def test_what_is_there_is_not_done_again(tmp_path: Path) -> None:
    storage, grid = Storage(tmp_path), make_grid()
    fill(storage, grid)
    assert missing(storage, grid) == []


def test_a_larger_limit_fills_up_the_part_that_the_smaller_one_cut(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    fill(storage, make_grid(limit=10))
    tasks = [t for t in missing(storage, make_grid(limit=15)) if t.shard.point.batch]
    assert [(t.shard.number, t.indices) for t in tasks] == [(2, (10, 11)), (3, range(12, 15))]


def test_a_smaller_limit_misses_nothing(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    fill(storage, make_grid(limit=15))
    assert missing(storage, make_grid(limit=6)) == []


def test_failed_rows_are_done_again_only_on_request(tmp_path: Path) -> None:
    storage, grid = Storage(tmp_path), make_grid()
    shard = shards(grid)[1]
    write_rows(storage, shard, [6], status="failed")
    fill(storage, grid)
    assert missing(storage, grid) == []
    assert [(t.shard, t.indices) for t in missing(storage, grid, retry_failed=True)] == [(shard, (6,))]


def test_coverage_counts_wanted_present_and_failed(tmp_path: Path) -> None:
    storage, grid = Storage(tmp_path), make_grid()
    first, _, last = shards(grid)
    write_rows(storage, first, [0, 1, 3])
    write_rows(storage, last, [8], status="failed")
    coverage = Survey(grid, storage, settings()).coverage()
    batch = Batch("noise", 4, 0)
    assert (coverage[Point("nasbench201", batch)].wanted, coverage[Point("nasbench201", batch)].present) == (10, 4)
    assert coverage[Point("nasbench201", batch)].failed == 1
    assert coverage[Point("nasbench201", None)].present == 0


@pytest.mark.parametrize(
    ("limit", "batch_sizes", "seeds", "expected"),
    [
        (100, (32,), (0,), 32),
        (None, (128,), (0,), 32),
        (None, (64, 128), (0,), 32),
        (None, (32, 64, 128), (0,), 64),
        (None, (16, 32, 64, 128), (0, 1), 128),
        (None, (16, 32, 64, 128), tuple(range(10)), 256),
    ],
)
def test_the_default_shard_size_follows_from_the_first_run(
    limit: int | None, batch_sizes: tuple[int, ...], seeds: tuple[int, ...], expected: int
) -> None:
    assert default_shard_size(make_grid(limit, batch_sizes=batch_sizes, seeds=seeds).record) == expected


def test_a_sample_of_a_large_space_gets_large_shards() -> None:
    large = GridRecord(
        spaces=("nasbench101",), num_architectures=(423_624,), images="noise", batch_sizes=(64,), seeds=(0,), sample=1000
    )
    assert default_shard_size(large) == 512
    assert default_shard_size(large.model_copy(update={"seeds": tuple(range(10))})) == 1024
    assert default_shard_size(large.model_copy(update={"sample": 100})) == 32


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
    tasks = [task for task in missing(storage, grid) if task.shard.point.batch]
    assert sorted(i for task in tasks for i in task.indices) == list(grid.positions("nasbench201"))
    assert all(i in task.shard.range for task in tasks for i in task.indices)
    fill(storage, grid)
    assert missing(storage, grid) == []
    coverage = Survey(grid, storage, settings()).coverage()[Point("nasbench201", Batch("noise", 4, 0))]
    assert (coverage.wanted, coverage.present) == (50, 50)
    whole = missing(storage, make_grid(None))
    assert sum(len(task.indices) for task in whole if task.shard.point.batch) == 15_625 - 50
