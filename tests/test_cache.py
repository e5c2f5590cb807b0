"""Where the cache is."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from naswot_ray.cache import cache_directory


def test_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASWOT_RAY_CACHE", "elsewhere")
    assert cache_directory() == Path("elsewhere")


@pytest.mark.parametrize("value", [None, ""])
def test_users_own_otherwise(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("NASWOT_RAY_CACHE")
    if value is not None:
        monkeypatch.setenv("NASWOT_RAY_CACHE", value)
    assert cache_directory() == platformdirs.user_cache_path("naswot-ray")
