"""Processes that share a disk take turns."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path, PurePosixPath

import pytest

from naswot_ray.dataset import layout, local_files, retry
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError
from tests.dataset.making import snapshot

NUMBER = PurePosixPath("folder/number")
NUM_PROCESSES, NUM_TURNS = 3, 500


COUNT = f"""
import pathlib, sys
from naswot_ray.dataset import local_files
path = pathlib.Path(sys.argv[1])
for _ in range({NUM_TURNS}):
    with local_files.locked(path):
        path.write_text(str(int(path.read_text()) + 1))
"""


def test_no_update_is_lost_and_no_lock_is_left(tmp_path: Path) -> None:
    path = tmp_path / "number"
    path.write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", COUNT, path]) for _ in range(NUM_PROCESSES)]
    assert [process.wait(timeout=240) for process in processes] == [0] * NUM_PROCESSES
    assert snapshot(tmp_path) == {"number": str(NUM_PROCESSES * NUM_TURNS).encode()}


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, pathlib\n"
        "from naswot_ray.dataset.storage import Storage\n"
        "with Storage(sys.argv[1]).locked(pathlib.PurePosixPath(sys.argv[2])):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path, NUMBER], check=False)
    assert done.returncode == -9
    left = tmp_path / layout.lock(NUMBER)
    assert left.exists()
    with Storage(tmp_path).locked(NUMBER):
        assert left.exists()
    assert not left.exists()


def test_a_lock_that_is_removed_while_one_waits_for_it_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next holder must lock the file that exists now, not the file that the last holder removed."""
    path = tmp_path / "number"
    waited: list[int] = []
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if not waited:
            waited.append(descriptor)
            (tmp_path / layout.lock(PurePosixPath("number"))).unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with local_files.locked(path):
        assert (tmp_path / layout.lock(PurePosixPath("number"))).exists()
    assert waited


def test_only_locks_that_nobody_holds_are_swept(tmp_path: Path) -> None:
    storage, other = Storage(tmp_path), PurePosixPath("folder/other")
    with storage.locked(NUMBER):
        (tmp_path / layout.lock(other)).write_bytes(b"")
        os.utime(tmp_path / layout.lock(NUMBER), (0, 0))
        storage.sweep_temporaries()
        assert sorted(snapshot(tmp_path)) == ["folder", str(layout.lock(NUMBER))]


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file where a folder should be")
    with pytest.raises(DatasetError, match=r"cannot lock .*folder/number: .*permissions"), Storage(tmp_path).locked(NUMBER):
        pass


def test_a_lock_is_released_by_an_error(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    with pytest.raises(RuntimeError, match="inside"), storage.locked(NUMBER):
        raise RuntimeError("inside")
    assert snapshot(tmp_path) == {"folder": None}


def test_a_lock_that_fails_for_a_moment_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This happens on a network disk whose server comes back."""
    monkeypatch.setattr(retry, "FIRST_DELAY_SECONDS", 0.001)
    failures = [OSError(errno.ESTALE, os.strerror(errno.ESTALE))]
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if failures:
            raise failures.pop()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    storage = Storage(tmp_path)
    with storage.locked(NUMBER):
        pass
    (note,) = storage.take_notes()
    assert note.startswith(f"lock {storage.path(NUMBER)}: done at try 2, after ")
    assert "Stale file handle" in note


def test_who_waits_for_a_lock_is_told_who_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local_files, "TELL_SECONDS", 0.0)
    lock = tmp_path / layout.lock(NUMBER)
    holder = f"process {os.getpid()} on {socket.gethostname()}"
    storage = Storage(tmp_path)

    def write() -> None:
        with storage.locked(NUMBER):
            storage.write_bytes(NUMBER, b"written")

    with storage.locked(NUMBER):
        monkeypatch.setattr(local_files, "GIVE_UP_SECONDS", 0.02)
        with (
            pytest.raises(
                DatasetError, match=rf"^cannot lock .*: {holder} has held the lock {lock} for 0\.02 s; let it finish"
            ),
            storage.locked(NUMBER),
        ):
            pass
        monkeypatch.setattr(local_files, "GIVE_UP_SECONDS", 60.0)
        capfd.readouterr()
        thread = threading.Thread(target=write)
        thread.start()
        told = ""
        while not told:
            told = capfd.readouterr().err
    thread.join()
    assert told == f"waiting for the lock {lock}, which {holder} holds; giving up after 60 s\n"
    assert storage.read_bytes(NUMBER) == b"written"
