"""A file appears completely or not at all, and errors take one line."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pytest

from naswot_ray.dataset import layout, part_state
from naswot_ray.dataset.local_files import STALE_SECONDS
from naswot_ray.dataset.storage import Storage, StoredFile
from naswot_ray.errors import DatasetError
from tests.dataset.making import SPACE, expected, score_row, snapshot, write_part

FILE = PurePosixPath("folder/file.json")


def no_space(*args: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"cannot mount: {mount.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_writing_and_reading(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "new" / "root")
    assert storage.is_empty()
    storage.write_bytes(FILE, b"one")
    storage.write_bytes(FILE, b"two")
    assert storage.read_bytes(FILE) == b"two"
    assert storage.list_names(FILE.parent) == [FILE.name]
    assert not storage.is_empty()


def test_what_is_not_there(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    assert not storage.exists(FILE)
    assert storage.list_names(FILE.parent) == []
    with pytest.raises(DatasetError, match=r"cannot read .*file\.json"):
        storage.read_bytes(FILE)


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("before", [b"old", None])
def test_a_write_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, before: bytes | None
) -> None:
    storage = Storage(tmp_path)
    storage.write_bytes(PurePosixPath("folder/other"), b"other")
    if before is not None:
        storage.write_bytes(FILE, before)
    there = snapshot(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os if step == "fsync" else Path, step, no_space)
        with pytest.raises(DatasetError) as caught:
            storage.write_bytes(FILE, b"new")
    assert snapshot(tmp_path) == there
    message = str(caught.value)
    assert storage.path(FILE) in message
    assert "No space left on device" in message
    assert "free space" in message
    storage.write_bytes(FILE, b"new")
    assert storage.read_bytes(FILE) == b"new"


def test_an_interrupted_write_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    storage = Storage(tmp_path)
    storage.write_bytes(FILE, b"old")
    there = snapshot(tmp_path)
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        storage.write_bytes(FILE, b"new")
    assert snapshot(tmp_path) == there


def test_the_bytes_are_on_the_disk_before_they_have_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name if Path("/proc").is_dir() else "")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    Storage(tmp_path).write_bytes(FILE, b"new")
    assert len(synced) == 2, "the file, then its folder"
    if Path("/proc").is_dir():
        assert layout.is_temporary(synced[0])
        assert synced[1] == "folder"


def test_a_path_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file where a folder should be")
    with pytest.raises(DatasetError, match=r"cannot write .*folder/file\.json: .*permissions"):
        Storage(tmp_path).write_bytes(FILE, b"new")
    assert snapshot(tmp_path) == {"folder": b"a file where a folder should be"}


@pytest.mark.parametrize("kind", ["a pipe", "a device"])
def test_what_would_never_end_is_not_read(tmp_path: Path, kind: str) -> None:
    (tmp_path / "folder").mkdir()
    if kind == "a pipe":
        os.mkfifo(tmp_path / FILE)
    else:
        (tmp_path / FILE).symlink_to("/dev/zero")
    storage = Storage(tmp_path)
    with pytest.raises(DatasetError, match=rf"^cannot read .*file\.json: it is {kind}, expected a regular file$"):
        storage.read_bytes(FILE)
    with pytest.raises(DatasetError, match=rf"it is {kind}, expected a regular file$"), storage.open_parquet(FILE):
        pass
    assert storage.list_files(recursive=True) == []
    storage.write_bytes(FILE, b"new")
    assert storage.read_bytes(FILE) == b"new"


def test_a_file_that_is_larger_than_it_may_be(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.write_bytes(FILE, b"1234")
    assert storage.read_bytes(FILE, max_bytes=4) == b"1234"
    with pytest.raises(DatasetError, match=r"^cannot read .*file\.json: it has 4 bytes, expected at most 3$"):
        storage.read_bytes(FILE, max_bytes=3)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o500)
    with pytest.raises(DatasetError, match=r"cannot write .*file\.json: Permission denied"):
        Storage(tmp_path).write_bytes(FILE, b"new")


def test_a_full_disk(full_disk: Path) -> None:
    storage = Storage(full_disk / "d")
    path, other = (layout.scores(SPACE, "noise", 4, 0, number) for number in (0, 1))
    write_part(storage, path, [score_row(i) for i in range(4)])
    there = snapshot(full_disk)
    with pytest.raises(DatasetError) as caught:
        storage.write_bytes(other, bytes(2**20))
    assert storage.path(other) in str(caught.value)
    assert "No space left on device" in str(caught.value)
    assert "free space" in str(caught.value)
    with pytest.raises(DatasetError, match="No space left"):
        storage.write_bytes(path, bytes(2**20))  # replaces the existing file
    assert snapshot(full_disk) == there
    assert part_state.inspect(storage, expected(path)).present == range(4)


def test_a_disk_that_is_filled_by_someone_else(full_disk: Path) -> None:
    storage = Storage(full_disk / "d")
    path = layout.scores(SPACE, "noise", 4, 0, 0)
    write_part(storage, path, [score_row(0)])
    ballast = full_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.raises(DatasetError, match="No space left"):
        write_part(storage, path, [score_row(1)])
    assert part_state.inspect(storage, expected(path)).present == {0}
    ballast.unlink()
    write_part(storage, path, [score_row(1)])
    assert part_state.inspect(storage, expected(path)).present == {0, 1}


def test_only_old_temporaries_are_swept(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    ages = {
        ".a.parquet.0123.tmp": STALE_SECONDS + 60,
        ".b.parquet.0123.tmp": STALE_SECONDS - 60,
        "c.parquet": STALE_SECONDS + 60,
    }
    for name, age in ages.items():
        file = tmp_path / "scores" / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"")
        os.utime(file, (time.time() - age,) * 2)
    (tmp_path / "notes.tmp").write_bytes(b"")
    os.utime(tmp_path / "notes.tmp", (0, 0))
    storage.sweep_temporaries()
    assert sorted(snapshot(tmp_path)) == ["notes.tmp", "scores", "scores/.b.parquet.0123.tmp", "scores/c.parquet"]


def test_a_temporary_that_is_swept_while_it_is_written_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that jumps forward by an hour does this between the last byte and the renaming."""
    storage, later = Storage(tmp_path), time.time() + 3600
    swept: list[Path] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        if not swept:
            monkeypatch.setattr(time, "time", lambda: later)
            swept.extend(path for path in (tmp_path / "folder").iterdir())
            Storage(tmp_path).sweep_temporaries()
            assert snapshot(tmp_path) == {"folder": None}

    monkeypatch.setattr(os, "fsync", fsync)
    storage.write_bytes(FILE, b"new")
    assert [layout.is_temporary(path.name) for path in swept] == [True]
    assert snapshot(tmp_path) == {"folder": None, "folder/file.json": b"new"}


def test_a_listing(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    for name in ("b/two", "b/c/three", "a/one", ".hidden"):
        storage.write_bytes(PurePosixPath(name), b"x" * len(name))
    names = (".hidden", "a/one", "b/c/three", "b/two")
    listed = [StoredFile(PurePosixPath(name), len(name), (tmp_path / name).stat().st_mtime_ns) for name in names]
    assert storage.list_files(recursive=True) == listed
    assert storage.list_files() == listed[:1]
    assert storage.list_files(PurePosixPath("b")) == listed[3:]
    assert storage.list_files(PurePosixPath("b"), recursive=True) == listed[2:]
    assert storage.list_files(PurePosixPath("nowhere"), recursive=True) == []


def test_removing(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.write_bytes(FILE, b"")
    storage.remove(FILE)
    storage.remove(FILE)
    assert not storage.exists(FILE)


def test_it_can_be_sent_to_an_actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = Storage("d")
    sent = pickle.dumps(storage)
    monkeypatch.chdir("/")
    pickle.loads(sent).write_bytes(FILE, b"there")
    assert storage.read_bytes(FILE) == b"there"


def test_file_uris_are_paths(tmp_path: Path) -> None:
    Storage(f"file://{tmp_path}/d").write_bytes(FILE, b"new")
    assert Storage(tmp_path / "d").read_bytes(FILE) == b"new"


def test_a_percent_encoded_file_uri(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    assert Storage(folder.as_uri()).local == folder


def test_relative_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = Storage("d")
    monkeypatch.chdir("/")
    assert storage.local == tmp_path / "d"
    assert storage.root == str(tmp_path / "d")


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(DatasetError, match=r"f is a file; a dataset is a directory"):
        Storage(tmp_path / "f")


def test_a_table_is_written_whole(tmp_path: Path) -> None:
    storage, path = Storage(tmp_path), PurePosixPath("t.parquet")
    table = pa.table({"a": list(range(1000))})
    storage.write_table(path, table)
    with storage.open_parquet(path) as file:
        assert file.read().equals(table)
    assert sorted(snapshot(tmp_path)) == ["t.parquet"]
