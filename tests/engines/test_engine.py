"""Engines are found by name and dtype."""

from __future__ import annotations

import pytest

from naswot_ray.engines.engine import get_engine
from naswot_ray.errors import SettingsError


def test_one_engine_for_the_process() -> None:
    assert get_engine("fast") is get_engine("fast")


def test_what_there_is_not_is_refused() -> None:
    with pytest.raises(SettingsError, match="unknown engine 'quick'; there are: exact, fast, cuda"):
        get_engine("quick")
    with pytest.raises(SettingsError, match="engine fast has no dtype 'tf32'; it has: float32"):
        get_engine("fast", "tf32")
