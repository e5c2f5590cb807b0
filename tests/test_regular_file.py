"""Anything that is not a regular file is refused at once, even if reading it would never end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from naswot_ray.regular_file import check_regular, open_regular, read_regular


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def endless(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize(("make", "kind"), [(pipe, "a pipe"), (endless, "a device"), (folder, "a folder")])
def test_other_kinds(tmp_path: Path, make: object, kind: str) -> None:
    assert callable(make)
    path = make(tmp_path / "x")
    for use in (open_regular, read_regular, check_regular):
        with pytest.raises(OSError, match=f"it is {kind}, expected a regular file") as raised:
            use(path)
        assert raised.value.filename == str(path)


def test_a_link_to_a_regular_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", max_bytes=7) == b"content"
    with pytest.raises(OSError, match="it has 7 bytes, expected at most 6"):
        open_regular(tmp_path / "link", max_bytes=6)


def test_no_file_stays_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="a folder"):
        open_regular(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
