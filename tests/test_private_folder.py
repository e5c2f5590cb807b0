"""Only what this user alone can have written is read."""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from naswot_ray.private_folder import NotPrivateError, PrivateFolder

OTHER_USER = 54321


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def give_away(path: Path) -> None:
    """Make another user the owner."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    os.chown(path, OTHER_USER, OTHER_USER)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        with PrivateFolder(tmp_path / "above" / "folder") as folder:
            assert folder.read("file") is None
            folder.write("file", b"first")
            folder.write("file", b"second")
            assert folder.read("file") == b"second"
    finally:
        os.umask(umask)
    assert [path.name for path in (tmp_path / "above" / "folder").iterdir()] == ["file"]
    assert mode(tmp_path / "above" / "folder") == 0o700
    assert mode(tmp_path / "above" / "folder" / "file") == 0o600


def test_an_open_folder_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with PrivateFolder(tmp_path):
        assert mode(tmp_path) == 0o700


def test_a_folder_of_another_user(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    give_away(folder)
    with pytest.raises(NotPrivateError, match=rf"^{re.escape(str(folder))} belongs to user {OTHER_USER}, not to \w+$"):
        PrivateFolder(folder)


def test_a_link_to_a_folder(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o755)
    (tmp_path / "folder").symlink_to(tmp_path / "target")
    with pytest.raises(NotPrivateError, match=r"folder is a symbolic link$"):
        PrivateFolder(tmp_path / "folder")
    assert mode(tmp_path / "target") == 0o755


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _second_name(path: Path) -> None:
    os.link(path, path.with_name("elsewhere"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        (_link, "is a symbolic link"),
        (_second_name, "has a second name (hard link)"),
        (_pipe, "is not a regular file"),
        (lambda path: path.chmod(0o660), "can be written by others (mode 660)"),
        (lambda path: path.chmod(0o602), "can be written by others (mode 602)"),
        (give_away, f"belongs to user {OTHER_USER}, not to "),
    ],
    ids=["link", "hard link", "pipe", "group", "all", "owner"],
)
def test_a_planted_file_is_not_read_but_replaced(tmp_path: Path, plant: Callable[[Path], None], reason: str) -> None:
    with PrivateFolder(tmp_path) as folder:
        folder.write("file", b"planted")
        plant(tmp_path / "file")
        with pytest.raises(NotPrivateError, match=re.escape(reason)):
            folder.read("file")
        folder.write("file", b"own")
        assert folder.read("file") == b"own"
    assert not (tmp_path / "elsewhere").exists() or (tmp_path / "elsewhere").read_bytes() == b"planted"


def test_a_folder_that_is_renamed_meanwhile(tmp_path: Path) -> None:
    """Others may rename what is above the folder, but they cannot put their own folder in its place."""
    with PrivateFolder(tmp_path / "folder") as folder:
        folder.write("file", b"own")
        (tmp_path / "folder").rename(tmp_path / "moved")
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").write_bytes(b"planted")
        assert folder.read("file") == b"own"


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    with PrivateFolder(tmp_path) as folder:
        folder.write("file", b"before")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            folder.write("file", b"after")
        assert folder.read("file") == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    order: list[str] = []

    def wait_for_it() -> None:
        with PrivateFolder(tmp_path) as folder, folder.locked("lock"):
            order.append("second")

    with PrivateFolder(tmp_path) as folder:
        with folder.locked("lock"):
            other = threading.Thread(target=wait_for_it)
            other.start()
            other.join(0.2)
            order.append("first")
        other.join()
    assert order == ["first", "second"]


def test_a_link_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "lock").symlink_to(tmp_path / "target")
    with PrivateFolder(tmp_path / "folder") as folder, pytest.raises(OSError, match="symbolic links"), folder.locked("lock"):
        pass
    assert not (tmp_path / "target").exists()
