"""Checks refusals. Every reader refuses a file with one line that names the file and the fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from naswot_ray.errors import BenchmarkError


def refusal(read: Callable[[], object], *named: Path | str) -> str:
    """The message with which a reader refuses a file: one line that contains all of these parts."""
    with pytest.raises(BenchmarkError) as caught:
        read()
    message = str(caught.value)
    for name in named:
        assert str(name) in message
    assert "\n" not in message
    return message
