"""What is left to do is found by listing the files, and by opening those that are not known yet."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pyarrow.parquet as pq
import pytest

from naswot_ray.dataset import manifest
from naswot_ray.dataset.storage import Storage
from naswot_ray.grid.grid import Batch, Point
from naswot_ray.grid.survey import Survey
from tests.dataset import making
from tests.dataset.making import FAILED, make_dataset, rewrite
from tests.datasets import part_files, score_here
from tests.grid.test_grid import make_grid

OPTIONS = {"limit": 10, "batch_size": [4], "seed": [0], "shard_size": 4}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts that are opened from now on."""
    found: list[str] = []
    original = Storage.open_parquet

    @contextlib.contextmanager
    def noting(self: Storage, relative: PurePosixPath) -> Iterator[pq.ParquetFile]:
        if relative.name.startswith("part-"):
            found.append(str(relative))
        with original(self, relative) as file:
            yield file

    monkeypatch.setattr(Storage, "open_parquet", noting)
    return found


def age(root: Path) -> None:
    """Make the parts look an hour old: a file that is younger than two seconds is opened each time."""
    for path in root.rglob("part-*"):
        os.utime(path, (time.time() - 3600,) * 2)


def survey_of(root: Path) -> Survey:
    return Survey(make_grid(), Storage(root), manifest.read(Storage(root)).settings)


def test_a_resume_opens_every_part_once(tmp_path: Path, opened: list[str]) -> None:
    score_here(tmp_path, **OPTIONS)
    age(tmp_path)
    opened.clear()
    survey = survey_of(tmp_path)
    assert len(opened) == 6
    assert list(survey.missing()) == []
    opened.clear()
    survey = survey_of(tmp_path)
    assert list(survey.missing()) == []
    assert opened == []
    assert survey.coverage()[Point("nasbench201", Batch("noise", 4, 0))].present == 10


def test_parts_that_are_partial_or_failed_are_known_too(tmp_path: Path, opened: list[str]) -> None:
    dataset = make_dataset(tmp_path, indices=(0, 1, 4, 5, 6, 7), change=lambda row: FAILED if row["arch_index"] == 5 else {})
    age(tmp_path)
    tasks = []
    for _ in range(2):
        opened.clear()
        survey = Survey(make_grid(8), dataset.storage, dataset.manifest.settings)
        tasks.append([(task.shard.number, *task.indices) for task in survey.missing(retry_failed=True)])
    assert opened == []
    assert tasks[0] == tasks[1] == [(0, 2, 3), (0, 2, 3), (1, 5)]


def test_a_part_that_cannot_be_trusted_has_no_rows(tmp_path: Path) -> None:
    score_here(tmp_path, **OPTIONS)
    first, second, _ = part_files(tmp_path)
    second.write_bytes(first.read_bytes())
    first.write_bytes(first.read_bytes()[:-1])
    survey = survey_of(tmp_path)
    assert [task.indices for task in survey.missing()] == [range(4), range(4, 8)]
    assert survey.faults == {
        PurePosixPath("scores", first.name): "is not a whole Parquet file",
        PurePosixPath("scores", second.name): f"is a copy of scores/{first.name}",
    }


def test_a_part_that_has_changed_since_is_looked_into(tmp_path: Path, opened: list[str]) -> None:
    score_here(tmp_path, **OPTIONS)
    age(tmp_path)
    path = part_files(tmp_path)[1]
    survey_of(tmp_path)
    rewrite(path, lambda table: table.slice(0, 2))
    opened.clear()
    (task,) = survey_of(tmp_path).missing()
    assert task.indices == (6, 7)
    assert opened == [str(path.relative_to(tmp_path))]


def test_a_part_that_is_gone_is_missed(tmp_path: Path) -> None:
    score_here(tmp_path, **OPTIONS)
    part_files(tmp_path)[1].unlink()
    (task,) = survey_of(tmp_path).missing()
    assert task.indices == range(4, 8)


def test_backwards_is_the_same_from_the_other_end(tmp_path: Path) -> None:
    grid, settings = make_grid(seeds=(0, 1), batch_sizes=(4, 8)), making.settings()
    forwards = list(Survey(grid, Storage(tmp_path), settings).missing())
    assert list(Survey(grid, Storage(tmp_path), settings).missing(backwards=True)) == forwards[::-1]
