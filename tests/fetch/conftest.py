"""Fixtures for the tests of fetching."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from naswot_ray.fetch import download
from tests.fetch.server import FileServer

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server of `CONTENT`. Downloads do not wait between tries."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.0)
    with FileServer(CONTENT).running() as running:
        yield running
