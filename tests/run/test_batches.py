"""A batch exists while it is needed, however many points a grid has."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import pytest

import naswot_ray
from naswot_ray.grid.grid import Batch, Point, Shard, Task
from naswot_ray.images.source import ImageSource
from naswot_ray.run import batches
from naswot_ray.run.batches import Batches
from naswot_ray.run.receipt import Pixels
from tests.datasets import logical_rows, score_here

OPTIONS = {"limit": 2, "batch_size": [4], "seed": list(range(6))}
BATCH_BYTES = 4 * 3 * 32 * 32 * 4


def task(seed: int | None, batch_size: int = 4) -> Task:
    point = Point("nasbench201", None if seed is None else Batch("noise", batch_size, seed))
    return Task(Shard(point, 0, 0, 4), range(4))


class Live:
    """Counts the batches that somebody holds, and how many were made."""

    def __init__(self) -> None:
        self.made = self.now = self.most = 0

    def add(self, pixels: Pixels) -> Pixels:
        self.made += 1
        self.now += 1
        self.most = max(self.most, self.now)
        weakref.finalize(pixels, self._freed)
        return pixels

    def _freed(self) -> None:
        self.now -= 1


def test_what_was_used_last_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_BYTES", 2 * 16)
    live = Live()
    found = Batches(lambda batch: live.add(np.full((4,), batch.seed, np.float32)), lambda pixels: pixels)
    for seed in (0, 1, 0, 2, 0):
        images = found.of(task(seed))
        assert images is not None
        assert images[0] == seed
        del images
    assert (live.made, live.now, live.most) == (3, 2, 3), "1 went when 2 came; the new one exists before the old one goes"
    found.of(task(1))
    assert (live.made, live.now) == (4, 2)
    assert found.of(task(None)) is None


def test_a_batch_larger_than_all_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_BYTES", 16)
    live = Live()
    found = Batches(lambda batch: live.add(np.zeros(8, np.float32)), lambda pixels: pixels)
    for seed in (0, 0, 1, 1):
        assert found.of(task(seed)) is not None
    assert (live.made, live.now) == (2, 1)


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Live:
    found, make = Live(), ImageSource.batch
    monkeypatch.setattr(ImageSource, "batch", lambda self, batch_size, seed: found.add(make(self, batch_size, seed)))
    return found


def test_a_run_holds_few_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, live: Live) -> None:
    monkeypatch.setattr(batches, "MAX_BYTES", 2 * BATCH_BYTES)
    score_here(tmp_path / "few", **OPTIONS)
    assert live.made == 6
    assert live.most == 3, "two that are kept, and the one that is being made"
    monkeypatch.undo()
    score_here(tmp_path / "all", **OPTIONS)
    assert logical_rows(tmp_path / "few") == logical_rows(tmp_path / "all")


def test_no_batch_is_made_where_nothing_is_left_to_do(tmp_path: Path, live: Live) -> None:
    score_here(tmp_path / "d", **OPTIONS)
    made = live.made
    score_here(tmp_path / "d", **OPTIONS)
    assert live.made == made
    assert naswot_ray.open(tmp_path / "d").scores.count_rows() == 12
