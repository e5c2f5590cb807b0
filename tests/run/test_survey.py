"""What is left to do is found by listing, receipts and few looks into files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pyarrow.parquet as pq
import pytest

from naswot_ray.dataset.storage import Storage
from naswot_ray.run.grid import Batch, Point
from naswot_ray.run.survey import Survey
from tests.datasets import part_files, score_here
from tests.run.test_grid import make_grid

OPTIONS = {"limit": 10, "batch_size": [4], "seed": [0], "shard_size": 4}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts that are looked into from now on."""
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


def test_a_resume_opens_no_part_that_a_receipt_tells_of(tmp_path: Path, opened: list[str]) -> None:
    score_here(tmp_path, **OPTIONS)
    opened.clear()
    survey = Survey(make_grid(), Storage(tmp_path))
    assert list(survey.missing()) == []
    assert opened == []
    assert survey.inspected == []
    assert survey.coverage()[Point("nasbench201", Batch("noise", 4, 0))].present == 10


def test_without_receipts_every_part_is_looked_into_once(tmp_path: Path, opened: list[str]) -> None:
    score_here(tmp_path, **OPTIONS)
    for path in (tmp_path / "receipts").iterdir():
        path.unlink()
    opened.clear()
    survey = Survey(make_grid(), Storage(tmp_path))
    assert len(opened) == len(survey.inspected) == 6
    assert list(survey.missing()) == []
    score_here(tmp_path, **OPTIONS)  # keeps what it found as receipts
    opened.clear()
    assert list(Survey(make_grid(), Storage(tmp_path)).missing()) == []
    assert opened == []


def test_a_part_that_has_changed_since_is_looked_into(tmp_path: Path, opened: list[str]) -> None:
    score_here(tmp_path, **OPTIONS)
    path = part_files(tmp_path)[1]
    pq.write_table(pq.read_table(path, partitioning=None).slice(0, 2), path)
    opened.clear()
    (task,) = Survey(make_grid(), Storage(tmp_path)).missing()
    assert task.indices == (6, 7)
    assert opened == [str(path.relative_to(tmp_path))]


def test_a_part_that_is_gone_is_missed_whatever_its_receipt_says(tmp_path: Path) -> None:
    score_here(tmp_path, **OPTIONS)
    part_files(tmp_path)[1].unlink()
    (task,) = Survey(make_grid(), Storage(tmp_path)).missing()
    assert task.indices == range(4, 8)


def test_backwards_is_the_same_from_the_other_end(tmp_path: Path) -> None:
    grid = make_grid(seeds=(0, 1), batch_sizes=(4, 8))
    forwards = list(Survey(grid, Storage(tmp_path)).missing())
    assert list(Survey(grid, Storage(tmp_path)).missing(backwards=True)) == forwards[::-1]
