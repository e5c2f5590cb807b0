"""Clocks that jump do not matter: neither what is written nor what is left to do ever depends on the time of day."""

from __future__ import annotations

import itertools
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

import pytest

from naswot_ray.grid import plans
from naswot_ray.run import job
from tests.cli.running import naswot
from tests.datasets import logical_architectures, logical_rows, score_here

GRID = {"batch_size": [4], "seed": [0, 1], "shard_size": 4}


@pytest.fixture
def offsets(monkeypatch: pytest.MonkeyPatch) -> list[timedelta]:
    """Make the time of day jump at each look: a day forward, two days back, and so on. Returns the offsets so far."""
    cycle = itertools.cycle([timedelta(days=1), timedelta(days=-1), timedelta(0)])
    given: list[timedelta] = []
    real = time.time

    def jump() -> timedelta:
        given.append(next(cycle))
        return given[-1]

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + jump()

    monkeypatch.setattr(job, "datetime", Jumping)
    monkeypatch.setattr(plans, "datetime", Jumping)
    monkeypatch.setattr(time, "time", lambda: real() + jump().total_seconds())
    return given


def test_a_run_and_its_continuation_under_a_jumping_clock(tmp_path: Path, offsets: list[timedelta]) -> None:
    root = tmp_path / "d"
    score_here(root, limit=8, **GRID)
    record = score_here(root, limit=24, **GRID)
    assert record.counts["rows"] == 32, "what is there is known, whatever the time"
    score_here(tmp_path / "undisturbed", limit=24, **GRID)
    assert logical_rows(root) == logical_rows(tmp_path / "undisturbed")
    assert logical_architectures(root) == logical_architectures(tmp_path / "undisturbed")
    assert naswot("check", root).exit_code == 0
    assert {timedelta(days=1), timedelta(days=-1)} <= set(offsets), "the clock did jump"
