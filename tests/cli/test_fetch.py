"""`naswot-ray fetch`, tested against a server on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from naswot_ray.fetch.archive import Archive
from naswot_ray.fetch.catalogue import CATALOGUE, Entry, OfficialFile
from naswot_ray.fetch.digests import Digest
from tests.cli.running import check_refusal, naswot, prints
from tests.fetch.archives import tar_bytes
from tests.fetch.conftest import CONTENT, server
from tests.fetch.server import Answer, FileServer

__all__ = ["server"]

DRIVE = "https://drive.google.com/file/d/abc/view"


@pytest.fixture(autouse=True)
def entries(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A catalogue of two entries: a file on the server, and a file that users have to download by hand."""
    direct = OfficialFile("file.bin", Digest("md5", hashlib.md5(CONTENT).hexdigest()), len(CONTENT))
    simple = Archive("tar", min_files=1, max_members=10, max_bytes=10_000)
    with monkeypatch.context() as patch:
        for name in list(CATALOGUE):
            patch.delitem(CATALOGUE, name)
        patch.setitem(CATALOGUE, "direct", Entry("a file", "MIT", server.address, (direct,), "naswot-ray next {path}"))
        patch.setitem(
            CATALOGUE,
            "hand",
            Entry("an archive", "none", DRIVE, (OfficialFile("s.tar"),), "naswot-ray next {path}", simple, "s"),
        )
        yield


def test_downloads_and_says_how_to_go_on(tmp_path: Path) -> None:
    cache = tmp_path / "my cache"
    result = naswot("fetch", "direct", "--cache", cache)
    assert result.exit_code == 0
    assert (cache / "direct" / "file.bin").read_bytes() == CONTENT
    assert result.stdout.splitlines() == [
        f"direct: {cache}/direct/file.bin",
        f"Continue with: naswot-ray next '{cache}/direct/file.bin'",
    ]
    assert result.stderr.splitlines() == ["file.bin: 10.2 kB", "file.bin: verifying"]


def test_the_environment_says_where_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASWOT_RAY_CACHE", str(tmp_path / "elsewhere"))
    prints("fetch", "direct")
    assert (tmp_path / "elsewhere" / "direct" / "file.bin").exists()


def test_lists_what_there_is(tmp_path: Path, server: FileServer) -> None:
    assert prints("fetch", "--cache", tmp_path).splitlines() == [
        "direct: a file (10.2 kB; licence: MIT)",
        f"  not here; from {server.address}",
        "hand: an archive (size unknown; licence: none)",
        f"  not here; from {DRIVE}, by hand",
        "",
        f"cache: {tmp_path}",
    ]
    prints("fetch", "direct", "--cache", tmp_path)
    assert f"  here; from {server.address}\n" in prints("fetch", "--cache", tmp_path)


def test_by_hand(tmp_path: Path) -> None:
    result = naswot("fetch", "hand", "--cache", tmp_path)
    check_refusal(result.exit_code, result.stdout, result.stderr)
    assert f"download s.tar in a browser from {DRIVE} into {tmp_path}/hand, then run the same command" in result.stderr
    (tmp_path / "hand" / "s.tar").write_bytes(tar_bytes({"s/a": b"a"}))
    assert prints("fetch", "hand", "--cache", tmp_path).startswith(f"hand: {tmp_path}/hand/s\n")
    assert (tmp_path / "hand" / "s" / "a").read_bytes() == b"a"


def test_what_cannot_be_had_does_not_keep_the_rest_away(tmp_path: Path) -> None:
    result = naswot("fetch", "hand", "direct", "--cache", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: hand: download s.tar")
    assert (tmp_path / "direct" / "file.bin").exists()


def test_a_mistyped_name_comes_before_any_download(tmp_path: Path, server: FileServer) -> None:
    result = naswot("fetch", "direct", "drect", "--cache", tmp_path)
    check_refusal(result.exit_code, result.stdout, result.stderr)
    assert "nothing to fetch is called 'drect'; there are: direct, hand" in result.stderr
    assert server.seen == []
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download(tmp_path: Path, server: FileServer) -> None:
    server.answers = [Answer(status=404)]
    result = naswot("fetch", "direct", "--cache", tmp_path)
    check_refusal(result.exit_code, result.stdout, result.stderr)
    assert f"{server.address}: the server answers 404 Not Found" in result.stderr


def test_an_interrupted_download_goes_on(tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    server.answers = [Answer(drop_after=4000)]
    with monkeypatch.context() as patch:
        patch.setattr("naswot_ray.fetch.download.time.sleep", interrupt)
        result = naswot("fetch", "direct", "--cache", tmp_path)
    assert result.exit_code == 130
    assert "interrupted; everything written is kept" in result.stderr
    assert "4.0 kB of it already downloaded" in naswot("fetch", "direct", "--cache", tmp_path).stderr
    assert server.ranges() == [None, "bytes=4000-"]
