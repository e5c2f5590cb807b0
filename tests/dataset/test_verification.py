"""A file that was verified once is only listed from then on, until it changes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

import naswot_ray
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError
from tests.cli.running import prints
from tests.dataset.making import make_dataset


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Parquet files that are read from now on."""
    found: list[str] = []
    original = Storage.read_bytes

    def noting(self: Storage, relative: PurePosixPath, **limits: int) -> bytes:
        if relative.suffix == ".parquet":
            found.append(relative.name)
        return original(self, relative, **limits)

    monkeypatch.setattr(Storage, "read_bytes", noting)
    return found


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own: other workers write to the common one."""
    path = tmp_path / "cache"
    path.mkdir()
    monkeypatch.setenv("NASWOT_RAY_CACHE", str(path))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dataset that was written an hour ago."""
    make_dataset(tmp_path / "d")
    for path in (tmp_path / "d").rglob("*.parquet"):
        os.utime(path, (time.time() - 3600,) * 2)
    return tmp_path / "d"


def test_a_second_command_only_lists(root: Path, read: list[str]) -> None:
    with naswot_ray.open(root).connect():
        assert len(read) == 4
    read.clear()
    with naswot_ray.open(root).connect() as connection:
        assert connection.sql("SELECT count(*) FROM scores").fetchall() == [(8,)]
    assert naswot_ray.open(root).scores.count_rows() == 8
    assert read == []


@pytest.mark.parametrize("how", ["size", "time"])
def test_a_file_that_has_changed_is_read_again(root: Path, read: list[str], how: str) -> None:
    naswot_ray.open(root).connect().close()
    path = sorted((root / "scores").iterdir())[0]
    before, data = path.stat(), bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data) + (b"x" if how == "size" else b""))
    if how == "size":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    read.clear()
    with pytest.raises(DatasetError, match=path.name):
        naswot_ray.open(root).connect()
    assert read == [path.name]


def test_a_file_that_has_just_been_written_is_read_each_time(tmp_path: Path, read: list[str]) -> None:
    dataset = make_dataset(tmp_path / "d", indices=range(4))
    dataset.connect().close()
    read.clear()
    dataset.connect().close()
    assert len(read) == 2


def with_digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "another digit": lambda content: content.replace(b'"scores/part', b'"scores/qart'),
    "no json": lambda content: with_digest(b"no json"),
    "a list": lambda content: with_digest(b"[]"),
    "other entries": lambda content: with_digest(b'{"version":1,"files":{"scores/x":[1]}}'),
    "another version": lambda content: with_digest(b'{"version":99}'),
}


def test_a_cache_that_others_could_have_written_is_no_cache(root: Path, cache: Path, read: list[str]) -> None:
    naswot_ray.open(root).connect().close()
    for path in (cache / "verified").iterdir():
        path.chmod(0o666)
    read.clear()
    assert naswot_ray.open(root).scores.count_rows() == 8
    assert len(read) == 2


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_cache_that_is_damaged_is_no_cache(
    root: Path, cache: Path, read: list[str], damage: Callable[[bytes], bytes]
) -> None:
    naswot_ray.open(root).connect().close()
    for path in (cache / "verified").iterdir():
        path.write_bytes(damage(path.read_bytes()))
    read.clear()
    assert naswot_ray.open(root).scores.count_rows() == 8
    assert len(read) == 2


def test_a_cache_that_cannot_be_written_costs_time_only(
    root: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NASWOT_RAY_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        assert naswot_ray.open(root).scores.count_rows() == 8
    assert len(read) == 4


def test_check_reads_every_file(root: Path, read: list[str]) -> None:
    naswot_ray.open(root).connect().close()
    read.clear()
    assert "nothing is missing" in prints("check", root)
    assert {name.partition(".")[0] for name in read} == {"part-nasbench201"}
    assert len(set(read)) == 4


def test_two_readers_keep_what_each_has_found(root: Path, read: list[str]) -> None:
    one, other = Dataset(root), Dataset(root)
    assert one.scores.count_rows() == 8
    assert other.verified.find(other.files("scores")[0]) is not None
    third = Dataset(root)
    third.verified.find(third.files("scores")[0])
    assert other.architectures.count_rows() == 8
    third.verify("scores")
    read.clear()
    Dataset(root).connect().close()
    assert read == []


def test_files_that_are_gone_are_forgotten(root: Path, cache: Path) -> None:
    naswot_ray.open(root).connect().close()
    path = sorted((root / "scores").iterdir())[0]
    path.unlink()
    dataset = Dataset(root)
    dataset.connect().close()
    kept = "".join(file.read_text() for file in (cache / "verified").iterdir() if str(root) in file.read_text())
    assert path.name not in kept
    assert sorted((root / "scores").iterdir())[0].name in kept


def test_files_that_a_run_replaces_while_they_are_read(root: Path) -> None:
    dataset = naswot_ray.open(root)
    path = sorted((root / "scores").iterdir())[0]
    make_dataset(root.parent / "other", indices=range(3))
    longer = sorted((root.parent / "other" / "scores").iterdir())[0].read_bytes()

    def read_while_it_changes() -> None:
        with dataset.naming_damaged_files(), dataset.connect(["scores"]):
            path.write_bytes(longer)
            raise OSError("Deserializing page header failed")  # what pyarrow says if the pages do not fit the footer

    with pytest.raises(DatasetError, match=r"files of .*/d were replaced while they were read, as by a run; run the same"):
        read_while_it_changes()
