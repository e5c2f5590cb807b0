"""The way from a name to verified files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import filelock
import pytest

from naswot_ray.errors import FetchError
from naswot_ray.fetch.archive import Archive
from naswot_ray.fetch.catalogue import CATALOGUE, Entry, OfficialFile
from naswot_ray.fetch.digests import Digest
from naswot_ray.fetch.files import State, fetch, state_of
from tests.fetch.archives import tar_bytes, tree, zip_bytes
from tests.fetch.conftest import CONTENT
from tests.fetch.recording import Recorded
from tests.fetch.server import Answer, FileServer

DRIVE = "https://drive.google.com/file/d/abc/view"
TAR = tar_bytes({"simple/0": b"zero", "simple/1": b"one"})


@pytest.fixture(autouse=True)
def catalogue(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue of files on this machine's server, and of files that users have to download by hand."""

    def add(name: str, address: str, *files: OfficialFile, **kwargs: object) -> None:
        monkeypatch.setitem(CATALOGUE, name, Entry("about", "terms", address, files, "command {path}", **kwargs))  # type: ignore[arg-type]

    sha256 = hashlib.sha256(CONTENT).hexdigest()
    add("direct", server.address, OfficialFile("file.bin", Digest("sha256", sha256)))
    add("checked-zip", server.address, OfficialFile("data.zip"), archive=Archive("zip", 1, 10, 10_000))
    add("unpacked", server.address, OfficialFile("simple.tar"), archive=Archive("tar", 2, 10, 10_000), unpacked="simple")
    add("by-hand", DRIVE, OfficialFile("whole.pbz2", Digest("sha256", sha256[-5:]), 1_100_000_000))
    add(
        "by-hand-unpacked",
        DRIVE,
        OfficialFile("simple.tar", Digest("md5", "0" * 32, official=False)),
        archive=Archive("tar", 2, 10, 10_000),
        unpacked="simple",
    )
    add("batches", DRIVE, *(OfficialFile(f"b{i}", Digest("md5", hashlib.md5(b"%d" % i).hexdigest())) for i in range(3)))


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def fails(name: str, cache: Path, expected: str) -> str:
    with pytest.raises(FetchError, match=expected) as caught:
        fetch(name, cache, Recorded())
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestDownload:
    def test_then_nothing_is_downloaded_again(self, server: FileServer, tmp_path: Path) -> None:
        path = tmp_path / "cache" / "direct" / "file.bin"
        assert state_of("direct", tmp_path / "cache") is State.ABSENT
        assert fetch("direct", tmp_path / "cache", Recorded()) == path
        assert path.read_bytes() == CONTENT
        assert state_of("direct", tmp_path / "cache") is State.PRESENT
        progress = Recorded()
        assert fetch("direct", tmp_path / "cache", progress) == path
        assert progress.notes == ["file.bin: there, verifying"]
        assert len(server.seen) == 1

    def test_a_file_that_was_damaged_since(self, server: FileServer, tmp_path: Path) -> None:
        path = fetch("direct", tmp_path, Recorded())
        path.write_bytes(CONTENT[:-1])
        message = fails("direct", tmp_path, "is not the official file: its SHA256 is")
        assert message.startswith(str(path))
        assert message.endswith("remove it and run the same command again")
        assert len(server.seen) == 1

    def test_partly_there(self, server: FileServer, tmp_path: Path) -> None:
        server.answers = [Answer(drop_after=100), Answer(status=404)]
        fails("direct", tmp_path, "404")
        assert state_of("direct", tmp_path) is State.PARTIAL
        assert visible(tmp_path / "direct") == set()
        fetch("direct", tmp_path, Recorded())
        assert server.ranges()[-1] == "bytes=100-"

    def test_without_a_digest_a_zip_is_read_through(self, server: FileServer, tmp_path: Path) -> None:
        good = zip_bytes({"a.json": b"[1, 2]" * 100})
        bad = bytearray(good)
        bad[40] ^= 1
        server.content = bytes(bad)
        fails("checked-zip", tmp_path, "data.zip from http://.* is damaged or no zip archive .*; it was deleted")
        assert visible(tmp_path / "checked-zip") == set()
        server.content = good
        assert fetch("checked-zip", tmp_path, Recorded()).read_bytes() == good

    def test_an_archive_is_unpacked(self, server: FileServer, tmp_path: Path) -> None:
        server.content = TAR
        folder = tmp_path / "unpacked"
        progress = Recorded()
        assert fetch("unpacked", tmp_path, progress) == folder / "simple"
        assert tree(folder / "simple") == {"0": b"zero", "1": b"one"}
        assert ("unpacking simple.tar", len(TAR), 0) in progress.begun
        assert f"{folder / 'simple.tar'} is not needed any more" in progress.notes
        (folder / "simple.tar").unlink()
        assert state_of("unpacked", tmp_path) is State.PRESENT
        assert fetch("unpacked", tmp_path, Recorded()) == folder / "simple"
        assert len(server.seen) == 1

    def test_an_archive_that_is_refused(self, server: FileServer, tmp_path: Path) -> None:
        server.content = tar_bytes({"simple/0": b"zero", "../evil": b"evil"})
        fails("unpacked", tmp_path, r"holds '\.\./evil', which is no path inside of a folder")
        assert visible(tmp_path) == {"unpacked"}
        assert visible(tmp_path / "unpacked") == {"simple.tar"}
        assert state_of("unpacked", tmp_path) is State.PARTIAL


class TestByHand:
    def test_says_what_to_put_where(self, server: FileServer, tmp_path: Path) -> None:
        assert fails("by-hand", tmp_path / "cache", "by-hand: ") == (
            f"by-hand: download whole.pbz2 (1.1 GB) in a browser from {DRIVE} into {tmp_path}/cache/by-hand, "
            "then run the same command again"
        )
        assert (tmp_path / "cache" / "by-hand").is_dir()
        assert server.seen == []

    def test_verifies_what_is_found(self, tmp_path: Path) -> None:
        path = tmp_path / "by-hand" / "whole.pbz2"
        path.parent.mkdir()
        path.write_bytes(CONTENT[:-1])
        fails("by-hand", tmp_path, r"whole\.pbz2 is not the official file: its SHA256 is .*, expected one that")
        assert path.exists(), "what a user has put there is the user's"
        path.write_bytes(CONTENT)
        assert fetch("by-hand", tmp_path, Recorded()) == path

    def test_unpacks_what_is_found_though_others_found_another_digest(self, tmp_path: Path) -> None:
        path = tmp_path / "by-hand-unpacked" / "simple.tar"
        path.parent.mkdir()
        path.write_bytes(TAR)
        progress = Recorded()
        assert fetch("by-hand-unpacked", tmp_path, progress) == path.with_suffix("")
        assert tree(path.with_suffix("")) == {"0": b"zero", "1": b"one"}
        (note,) = [note for note in progress.notes if "others" in note]
        assert hashlib.md5(TAR).hexdigest() in note

    def test_cut_off_between_two_members(self, tmp_path: Path) -> None:
        path = tmp_path / "by-hand-unpacked" / "simple.tar"
        path.parent.mkdir()
        path.write_bytes(TAR[:1024])
        fails("by-hand-unpacked", tmp_path, "its end is missing")
        assert visible(path.parent) == {"simple.tar"}

    def test_several_files(self, tmp_path: Path) -> None:
        folder = tmp_path / "batches"
        assert "download b0, b1, b2 in a browser" in fails("batches", tmp_path, "batches: ")
        for i in (0, 2):
            (folder / f"b{i}").write_bytes(b"%d" % i)
        assert "download b1 in a browser" in fails("batches", tmp_path, "batches: ")
        assert state_of("batches", tmp_path) is State.PARTIAL
        (folder / "b1").write_bytes(b"2")
        fails("batches", tmp_path, "b1 is not the official file")
        (folder / "b1").write_bytes(b"1")
        assert fetch("batches", tmp_path, Recorded()) == folder
        assert state_of("batches", tmp_path) is State.PRESENT


class TestCache:
    def test_one_process_at_a_time(self, server: FileServer, tmp_path: Path) -> None:
        (tmp_path / "direct").mkdir()
        with filelock.FileLock(tmp_path / "direct" / ".lock", is_singleton=False):
            fails("direct", tmp_path, f"another process is fetching into {tmp_path}/direct")
        assert server.seen == []
        fetch("direct", tmp_path, Recorded())

    def test_a_lock_that_is_a_link(self, server: FileServer, tmp_path: Path) -> None:
        (tmp_path / "direct").mkdir()
        (tmp_path / "direct" / ".lock").symlink_to(tmp_path / "victim")
        fails("direct", tmp_path, f"cannot write {tmp_path}/direct: .*symbolic links")
        assert not (tmp_path / "victim").exists()

    def test_no_folder_can_be_made(self, server: FileServer, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("a file")
        fails("direct", tmp_path / "cache", f"cannot write {tmp_path}/cache/direct: Not a directory; name another folder")

    def test_a_folder_where_the_file_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "direct" / "file.bin").mkdir(parents=True)
        fails("direct", tmp_path, "cannot read .*file.bin: Is a directory")

    @pytest.mark.parametrize("name", ["nothing", "", "../direct"])
    def test_unknown_name(self, tmp_path: Path, name: str) -> None:
        fails(name, tmp_path / "cache", "nothing to fetch is called")
        assert list(tmp_path.iterdir()) == []
