"""What an earlier command has left of a download is used only if this user has written it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from naswot_ray.errors import FetchError
from naswot_ray.fetch import partial_file as module
from naswot_ray.fetch.download import download
from tests.fetch.conftest import CONTENT
from tests.fetch.recording import Recorded
from tests.fetch.server import Answer, FileServer
from tests.test_private_folder import give_away

PLANTED = b"planted"


def get(server: FileServer, folder: Path) -> tuple[bytes, list[str]]:
    """Download without a digest to verify, as for `data.zip`. Return the content and what the user is told."""
    progress = Recorded()
    download(server.address, folder / "file.bin", lambda path: None, progress)
    assert [path.name for path in folder.iterdir()] == ["file.bin"]
    return (folder / "file.bin").read_bytes(), progress.notes


def leave(folder: Path, address: str, content: bytes, **record: Any) -> tuple[Path, Path]:
    """The beginning of a download, and its record."""
    paths = folder / ".file.bin.part", folder / ".file.bin.part.json"
    paths[0].write_bytes(content)
    paths[1].write_text(json.dumps({"address": address, "validator": '"one"', "total": len(CONTENT)} | record))
    for path in paths:
        path.chmod(0o644)
    return paths


def test_the_users_own_is_gone_on_with(server: FileServer, tmp_path: Path) -> None:
    leave(tmp_path, server.address, CONTENT[:100])
    content, notes = get(server, tmp_path)
    assert content == CONTENT
    assert server.ranges() == ["bytes=100-"]
    assert not [note for note in notes if "afresh" in note]


def test_what_is_left_is_the_users_own(server: FileServer, tmp_path: Path) -> None:
    """This also holds if an umask lets a group write."""
    umask = os.umask(0o002)
    try:
        server.answers = [Answer(drop_after=3000), *[Answer(status=404)]]
        with pytest.raises(FetchError):
            get(server, tmp_path)
    finally:
        os.umask(umask)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o644}
    assert get(server, tmp_path)[0] == CONTENT
    assert server.ranges()[-1] == "bytes=3000-"


def _link(path: Path) -> None:
    path.rename(path.parent.parent / "victim")
    path.symlink_to(path.parent.parent / "victim")


def _hard_link(path: Path) -> None:
    os.link(path, path.parent.parent / "victim")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _writable(path: Path) -> None:
    path.chmod(0o666)


@pytest.mark.parametrize("plant", [_link, _hard_link, _pipe, _writable, give_away])
@pytest.mark.parametrize("which", [0, 1], ids=["beginning", "record"])
def test_what_another_has_planted_is_dropped(
    server: FileServer, tmp_path: Path, plant: Callable[[Path], None], which: int
) -> None:
    """The beginning looks like a whole download that nobody has to send any more. The target of a link stays as it is."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = leave(folder, server.address, PLANTED, total=len(PLANTED))[which]
    before = path.read_bytes()
    plant(path)
    content, notes = get(server, folder)
    assert content == CONTENT
    assert notes[0].startswith(f"file.bin: {path} ")
    assert notes[0].endswith("; beginning afresh")
    victim = tmp_path / "victim"
    assert not victim.exists() or victim.read_bytes() == before


@pytest.mark.parametrize("name", [".file.bin.part", ".file.bin.part.json"])
def test_a_link_to_nowhere_makes_no_file(server: FileServer, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / name).symlink_to(tmp_path / "victim")
    assert get(server, folder)[0] == CONTENT
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize(
    "record",
    [
        {"total": "7"},
        {"total": -1},
        {"total": 7.0},
        {"total": True},
        {"validator": 7},
        {"validator": ["a"]},
        {"validator": "a\r\nHost: elsewhere"},
    ],
)
def test_a_record_that_makes_no_sense(server: FileServer, tmp_path: Path, record: dict[str, Any]) -> None:
    leave(tmp_path, server.address, PLANTED, **record)
    assert get(server, tmp_path)[0] == CONTENT
    assert server.ranges() == [None]


@pytest.mark.parametrize("record", ["{}", "[" * 100_000, "9" * 10_000, "\0", '{"address": "ADDRESS"}'])
def test_a_damaged_record(server: FileServer, tmp_path: Path, record: str) -> None:
    leave(tmp_path, server.address, PLANTED)[1].write_text(record.replace("ADDRESS", server.address))
    assert get(server, tmp_path)[0] == CONTENT
    assert server.ranges() == [None]


def test_a_disk_without_owners(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the files could be another user's. What this command itself has begun, it continues."""
    monkeypatch.setattr(module, "why_not_private", lambda status: "can be written by others (mode 777)")
    server.answers = [Answer(drop_after=3000)]
    assert get(server, tmp_path)[0] == CONTENT
    assert server.ranges() == [None, "bytes=3000-"]
