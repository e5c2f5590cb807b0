"""Functions that the readers of official files share."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest

from naswot_ray.benchmarks.sources import BoundedStream, checked_digest, percentage
from naswot_ray.errors import BenchmarkError


def test_a_digest_is_checked_by_either_end_of_the_md5(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content" * 300_000)
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    for digits in (None, md5[:5], md5[-5:], md5[-6:]):
        assert checked_digest(path, digits) == sha256
    assert checked_digest(path, "00000", known_sha256=sha256) == sha256
    with pytest.raises(BenchmarkError, match=rf"file is damaged: its MD5 is {md5}, by its name it ends with {md5[5:10]}"):
        checked_digest(path, md5[5:10])


def test_a_bounded_stream_gives_all_up_to_its_limit() -> None:
    calls: list[int] = []
    data = bytes(range(256)) * 20
    stream = BoundedStream(io.BytesIO(data), len(data), lambda: calls.append(1)).buffered()
    assert stream.read(7) + stream.readline() + stream.read() == data
    assert calls
    with pytest.raises(OSError, match="unpacks to more"):
        BoundedStream(io.BytesIO(data), len(data) - 1, lambda: None).buffered().read()


def nested(depth: int) -> Any:
    """A few objects whose printed form grows as two to the power of `depth`."""
    value: Any = ()
    for _ in range(depth):
        value = (value, value)
    return value


@pytest.mark.parametrize("value", [nested(60), "x" * 10_000, [1] * 10_000, 101, -0.5, float("nan"), True, None])
def test_what_is_no_percentage_is_named_in_few_words(value: Any) -> None:
    with pytest.raises(ValueError, match="expected a percentage from 0 to 100, found") as caught:
        percentage(value)
    assert len(str(caught.value)) < 2000
