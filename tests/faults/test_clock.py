"""Clocks that jump do not matter: what is written, and what is left to do, never follows from the time of day."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

import pytest

from naswot_ray.dataset.opening import Dataset
from naswot_ray.run import job
from tests.cli.running import naswot
from tests.datasets import logical_architectures, logical_rows, score_here

GRID = {"batch_size": [4], "seed": [0, 1], "shard_size": 4}


@pytest.fixture
def jumping_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the time of day finds it a day later, then two days earlier, and so on."""
    offsets = itertools.cycle([timedelta(days=1), timedelta(days=-1), timedelta(0)])
    real = time.time

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + next(offsets)

    monkeypatch.setattr(job, "datetime", Jumping)
    monkeypatch.setattr(time, "time", lambda: real() + next(offsets).total_seconds())


@pytest.mark.usefixtures("jumping_clock")
def test_a_run_and_its_continuation_under_a_jumping_clock(tmp_path: Path) -> None:
    root = tmp_path / "d"
    score_here(root, limit=8, **GRID)
    record = score_here(root, limit=24, **GRID)
    assert record.counts["rows"] == 32, "what is there is known, whatever the time"
    score_here(tmp_path / "undisturbed", limit=24, **GRID)
    assert logical_rows(root) == logical_rows(tmp_path / "undisturbed")
    assert logical_architectures(root) == logical_architectures(tmp_path / "undisturbed")
    assert naswot("check", root).exit_code == 0
    spread = [run.started - datetime.now(UTC) for run in Dataset(root).runs]
    assert any(abs(offset) > timedelta(hours=12) for offset in spread), "the clock did jump"
