"""Complete digests, and digests of which only some digits are known."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from naswot_ray.fetch.digests import Digest

MD5 = hashlib.md5(b"content").hexdigest()
SHA256 = hashlib.sha256(b"content").hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "f").write_bytes(b"content")
    return tmp_path / "f"


@pytest.mark.parametrize(
    "digest", [Digest("md5", MD5), Digest("sha256", SHA256), Digest("md5", MD5[-5:]), Digest("md5", MD5[:5])]
)
def test_the_right_file(path: Path, digest: Digest) -> None:
    assert digest.difference(path) is None


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        (Digest("md5", MD5[:-1] + "g"), f"its MD5 is {MD5}, expected {MD5[:-1]}g"),
        (Digest("sha256", SHA256[::-1]), f"its SHA256 is {SHA256}, expected {SHA256[::-1]}"),
        (Digest("md5", MD5[5:10]), f"its MD5 is {MD5}, expected one that begins or ends with {MD5[5:10]}"),
    ],
)
def test_another_file(path: Path, digest: Digest, expected: str) -> None:
    assert digest.difference(path) == expected
