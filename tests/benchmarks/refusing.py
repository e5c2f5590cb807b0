"""What every reader's refusal is: one line that names the file and what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from naswot_ray.errors import BenchmarkError


def refusal(read: Callable[[], object], *named: Path | str) -> str:
    """The message of a reader that refuses: one line, with all of these in it."""
    with pytest.raises(BenchmarkError) as caught:
        read()
    message = str(caught.value)
    for name in named:
        assert str(name) in message
    assert "\n" not in message
    return message
