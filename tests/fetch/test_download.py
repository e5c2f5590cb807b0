"""Downloads over real connections that break, stall, lie and change."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import re
import shutil
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from naswot_ray.errors import FetchError
from naswot_ray.fetch import download as module
from naswot_ray.fetch.digests import Digest
from naswot_ray.fetch.download import MAX_TRIES, download
from naswot_ray.fetch.partial_file import PartialFile
from tests import tls
from tests.fetch.conftest import CONTENT
from tests.fetch.recording import Recorded
from tests.fetch.server import Answer, FileServer

DIGEST = Digest("sha256", hashlib.sha256(CONTENT).hexdigest())


def get(server: FileServer, folder: Path, progress: Recorded | None = None) -> bytes:
    """Download the server's file and verify it as CONTENT. Nothing else may be left in the folder."""
    download(server.address, folder / "file.bin", DIGEST.difference, progress or Recorded())
    assert [path.name for path in folder.iterdir()] == ["file.bin"]
    return (folder / "file.bin").read_bytes()


def fails(server: FileServer, folder: Path, expected: str) -> str:
    """Return the message of a download that fails. It must be one line, and no file may have the final name."""
    with pytest.raises(FetchError, match=expected) as caught:
        get(server, folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "file.bin").exists()
    return str(caught.value)


def kept(folder: Path) -> bytes | None:
    """The files that are kept for continuing a download."""
    path = folder / ".file.bin.part"
    return path.read_bytes() if path.exists() else None


class TestWhole:
    def test_one_request(self, server: FileServer, tmp_path: Path) -> None:
        progress = Recorded()
        assert get(server, tmp_path, progress) == CONTENT
        assert server.ranges() == [None]
        assert progress.begun == [("file.bin", len(CONTENT), 0)]
        assert progress.done == len(CONTENT)

    def test_content_is_stored_as_it_is_sent(self, server: FileServer, tmp_path: Path) -> None:
        """Some servers label a .tar.gz as if they had compressed it for the transfer. The digest is that of the .tar.gz."""
        server.content = gzip.compress(CONTENT)
        server.answers = [Answer(headers={"Content-Encoding": "gzip"})]
        download(server.address, tmp_path / "f", lambda path: None, Recorded())
        assert (tmp_path / "f").read_bytes() == server.content
        assert server.seen[0]["Accept-Encoding"] == "identity"

    def test_length_unknown(self, server: FileServer, tmp_path: Path) -> None:
        server.answers = [Answer(length_error=None)]
        progress = Recorded()
        assert get(server, tmp_path, progress) == CONTENT
        assert progress.begun == [("file.bin", None, 0)]


class TestBrokenConnection:
    @pytest.mark.parametrize("after", [1, 5000, len(CONTENT) - 1])
    def test_exactly_the_missing_bytes_are_sent_again(self, server: FileServer, tmp_path: Path, after: int) -> None:
        server.answers = [Answer(drop_after=after)]
        progress = Recorded()
        assert get(server, tmp_path, progress) == CONTENT
        assert server.ranges() == [None, f"bytes={after}-"]
        assert server.seen[1]["If-Range"] == '"one"'
        assert server.sent == [after, len(CONTENT) - after]
        assert progress.begun == [("file.bin", len(CONTENT), 0), ("file.bin", len(CONTENT), after)]
        assert any(note.startswith("file.bin: connection lost after") for note in progress.notes)

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(drops=st.lists(st.integers(0, 4000), max_size=MAX_TRIES - 1))
    def test_whatever_breaks_the_file_is_whole(self, server: FileServer, tmp_path: Path, drops: list[int]) -> None:
        server.seen.clear()
        server.sent.clear()
        server.answers = [Answer(drop_after=after) for after in drops]
        (tmp_path / "file.bin").unlink(missing_ok=True)
        assert get(server, tmp_path) == CONTENT
        assert sum(server.sent) == len(CONTENT)
        server.answers.clear()

    def test_the_next_call_goes_on(self, server: FileServer, tmp_path: Path) -> None:
        server.answers = [Answer(drop_after=3000), *[Answer(status=503)] * (MAX_TRIES - 1)]
        message = fails(server, tmp_path, "the server answers 503 Service Unavailable; tried 5 times")
        assert "3.0 kB are kept, the same command goes on from there" in message
        assert kept(tmp_path) == CONTENT[:3000]
        progress = Recorded()
        assert get(server, tmp_path, progress) == CONTENT
        assert server.ranges()[-1] == "bytes=3000-"
        assert progress.begun == [("file.bin", len(CONTENT), 3000)]

    def test_an_interrupted_call_goes_on(self, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Interrupted(Recorded):
            def update(self, done: int) -> None:
                raise KeyboardInterrupt

        monkeypatch.setattr(module, "_CHUNK_BYTES", 4096)
        with pytest.raises(KeyboardInterrupt):
            get(server, tmp_path, Interrupted())
        assert kept(tmp_path) == CONTENT[:4096]
        assert get(server, tmp_path) == CONTENT
        assert server.ranges() == [None, "bytes=4096-"]

    def test_killed_between_the_last_byte_and_the_name(
        self, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def killed(digest: Digest, path: Path) -> str | None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Digest, "difference", killed)
            with pytest.raises(KeyboardInterrupt):
                get(server, tmp_path)
        assert kept(tmp_path) == CONTENT
        assert get(server, tmp_path) == CONTENT
        assert len(server.seen) == 1

    def test_a_server_that_stalls(self, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "TIMEOUT_SECONDS", (5.0, 0.5))
        server.answers = [Answer(stall_after=2048)]
        monkeypatch.setattr(module, "_CHUNK_BYTES", 1024)
        assert get(server, tmp_path) == CONTENT
        assert server.ranges() == [None, "bytes=2048-"]

    def test_nobody_listens(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "BACKOFF_SECONDS", 0.0)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        gone = FileServer(CONTENT)
        gone.server_close()
        assert "tried 5 times" in fails(gone, tmp_path, "no connection .*Connection refused")


class TestRangeNotKept:
    def resume(self, server: FileServer, folder: Path, answer: Answer | None = None) -> bytes:
        """Break off after 4000 bytes, then continue."""
        server.answers = [Answer(drop_after=4000), *([answer] if answer else [])]
        return get(server, folder)

    def test_a_server_that_ignores_it(self, server: FileServer, tmp_path: Path) -> None:
        assert self.resume(server, tmp_path, Answer(ignore_range=True)) == CONTENT
        assert server.sent == [4000, len(CONTENT)]

    def test_the_file_has_changed(self, server: FileServer, tmp_path: Path) -> None:
        server.answers = [Answer(drop_after=4000, headers={"ETag": '"zero"'})]
        assert get(server, tmp_path) == CONTENT
        assert server.seen[1]["If-Range"] == '"zero"'
        assert server.sent == [4000, len(CONTENT)]

    def test_the_file_has_changed_and_the_server_sends_the_rest(self, server: FileServer, tmp_path: Path) -> None:
        server.answers = [Answer(drop_after=4000, headers={"ETag": '"zero"'}), Answer(ignore_if_range=True)]
        assert get(server, tmp_path) == CONTENT
        assert server.ranges() == [None, "bytes=4000-", None]

    def test_the_file_has_become_longer(self, server: FileServer, tmp_path: Path) -> None:
        server.etag = None
        server.answers = [Answer(drop_after=4000, length_error=-1000)]
        assert get(server, tmp_path) == CONTENT
        assert server.ranges() == [None, "bytes=4000-", None]
        assert "If-Range" not in server.seen[1]

    def test_the_file_has_become_shorter(self, server: FileServer, tmp_path: Path) -> None:
        whole, server.content, server.etag = server.content, CONTENT + CONTENT, None
        server.answers = [Answer(drop_after=len(whole)), *[Answer(status=503)] * (MAX_TRIES - 1)]
        fails(server, tmp_path, "503")
        server.content = whole
        assert get(server, tmp_path) == CONTENT

    def test_another_range_than_asked_for(self, server: FileServer, tmp_path: Path) -> None:
        assert self.resume(server, tmp_path, Answer(shift=7)) == CONTENT
        assert server.ranges() == [None, "bytes=4000-", None]

    def test_less_of_it_than_asked_for(self, server: FileServer, tmp_path: Path) -> None:
        assert self.resume(server, tmp_path, Answer(at_most=1000)) == CONTENT
        assert server.ranges() == [None, "bytes=4000-", "bytes=5000-"]

    @pytest.mark.parametrize(
        ("etag", "modified"), [(None, "Wed, 21 Oct 2015 07:28:00 GMT"), ('W/"a"', "Wed, 21 Oct 2015 07:28:00 GMT")]
    )
    def test_the_date_serves_where_there_is_no_strong_etag(
        self, server: FileServer, tmp_path: Path, etag: str | None, modified: str
    ) -> None:
        server.etag, server.modified = etag, modified
        assert self.resume(server, tmp_path) == CONTENT
        assert server.seen[1]["If-Range"] == modified
        assert server.sent == [4000, len(CONTENT) - 4000]

    @pytest.mark.parametrize("record", ["", "{", "[]", '{"address": "https://elsewhere"}', None])
    def test_a_beginning_of_unknown_origin_is_dropped(self, server: FileServer, tmp_path: Path, record: str | None) -> None:
        (tmp_path / ".file.bin.part").write_bytes(b"something else")
        if record is not None:
            (tmp_path / ".file.bin.part.json").write_text(record)
        assert get(server, tmp_path) == CONTENT
        assert server.ranges() == [None]


class TestStatus:
    def test_passing_trouble(self, server: FileServer, tmp_path: Path) -> None:
        server.answers = [Answer(status=status) for status in (500, 503, 429)]
        assert get(server, tmp_path) == CONTENT

    @pytest.mark.parametrize("status", [403, 404, 410])
    def test_final_refusal(self, server: FileServer, tmp_path: Path, status: int) -> None:
        server.answers = [Answer(status=status)]
        assert fails(server, tmp_path, f"the server answers {status}").startswith(server.address)
        assert len(server.seen) == 1

    def test_tries_are_bounded_and_the_waits_between_them_double(
        self, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits: list[float] = []
        monkeypatch.setattr(module, "BACKOFF_SECONDS", 1.0)
        monkeypatch.setattr("time.sleep", waits.append)
        server.answers = [Answer(status=502)] * 100
        fails(server, tmp_path, "502 Bad Gateway; tried 5 times$")
        assert len(server.seen) == MAX_TRIES
        assert waits == [1, 2, 4, 8]

    def test_redirections_are_followed(self, server: FileServer, tmp_path: Path) -> None:
        server.answers = [Answer(status=302, headers={"Location": f"{server.address}2"})]
        assert get(server, tmp_path) == CONTENT

    def test_endless_redirections(self, server: FileServer, tmp_path: Path) -> None:
        server.answers = [Answer(status=302, headers={"Location": server.address})] * 40
        fails(server, tmp_path, "Exceeded 30 redirects")

    def test_a_redirection_to_plain_http_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def answer(*args: Any, **kwargs: Any) -> requests.Response:
            response = requests.Response()
            response.status_code, response.url, response.raw = 200, "http://elsewhere/file", io.BytesIO(b"evil")
            return response

        monkeypatch.setattr(requests, "get", answer)
        with pytest.raises(FetchError, match="redirected to http://elsewhere/file, which is not encrypted"):
            download("https://here/file", tmp_path / "file.bin", lambda path: None, Recorded())
        assert kept(tmp_path) is None

    def test_no_secure_connection(self, server: FileServer, tmp_path: Path) -> None:
        """A server that does not speak TLS is no reason to try again."""
        address, progress = server.address.replace("http:", "https:"), Recorded()
        with pytest.raises(FetchError, match="no secure connection"):
            download(address, tmp_path / "file.bin", lambda path: None, progress)
        assert (kept(tmp_path), progress.notes) == (None, [])

    @pytest.mark.parametrize(
        ("bundle", "reason"), [(None, "self-signed certificate"), ("nowhere.pem", "Could not find a suitable TLS CA")]
    )
    def test_no_trusted_connection(
        self, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: str | None, reason: str
    ) -> None:
        if bundle is not None:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / bundle))
        progress, url = Recorded(), urlsplit(server.address)
        assert url.port is not None
        (tmp_path / "tls").mkdir()
        certificate = tls.make_certificate(tmp_path / "tls", "own")
        with (
            tls.in_front_of(url.port, certificate) as port,
            pytest.raises(FetchError, match=f"no secure connection: .*{reason}"),
        ):
            download(f"https://127.0.0.1:{port}{url.path}", tmp_path / "file.bin", lambda path: None, progress)
        assert (kept(tmp_path), progress.notes) == (None, [])

    def test_a_handshake_that_breaks_off_is_tried_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(module, "BACKOFF_SECONDS", 0.0)
        progress = Recorded()

        def close_at_once() -> None:
            for _ in range(MAX_TRIES):
                listener.accept()[0].close()

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=close_at_once)
            thread.start()
            with pytest.raises(FetchError, match=f"tried {MAX_TRIES} times"):
                download(f"https://127.0.0.1:{listener.getsockname()[1]}/x", tmp_path / "file.bin", lambda path: None, progress)
            thread.join()
        assert [note.rpartition(", ")[2] for note in progress.notes] == [
            f"try {n} of {MAX_TRIES}" for n in range(2, MAX_TRIES + 1)
        ]


class TestWrongFile:
    def test_wrong_digest(self, server: FileServer, tmp_path: Path) -> None:
        server.content = CONTENT[:-1] + b"?"
        message = fails(server, tmp_path, "it was deleted, and the same command downloads it again")
        assert hashlib.sha256(server.content).hexdigest() in message
        assert DIGEST.hexdigits in message
        assert list(tmp_path.iterdir()) == []

    def test_a_length_that_is_too_small(self, server: FileServer, tmp_path: Path) -> None:
        server.answers = [Answer(length_error=-100)]
        fails(server, tmp_path, "its SHA256 is")
        assert list(tmp_path.iterdir()) == []

    def test_a_length_that_is_too_large(self, server: FileServer, tmp_path: Path) -> None:
        server.answers = [Answer(length_error=100)] * MAX_TRIES
        fails(server, tmp_path, "tried 5 times")

    def test_cut_off_where_the_length_is_unknown(self, server: FileServer, tmp_path: Path) -> None:
        server.answers = [Answer(length_error=None, drop_after=5000)]
        fails(server, tmp_path, "its SHA256 is")


class FullDisk(io.FileIO):
    """A file on a disk that has room for 1500 bytes."""

    def write(self, data: Any, /) -> int:
        room = 1500 - self.tell()
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(bytes(data)[:room])


class TestNoRoom:
    def test_known_before(self, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=len(CONTENT) - 1))
        message = fails(server, tmp_path, re.escape(f"file.bin needs 10.2 kB, the disk of {tmp_path} has 10.2 kB left"))
        assert "--cache" in message
        assert kept(tmp_path) is None

    def test_only_the_rest_needs_room(self, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(module, "MAX_TRIES", 1)
        server.answers = [Answer(drop_after=6000)]
        fails(server, tmp_path, "connection lost")
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=len(CONTENT) - 6000))
        assert get(server, tmp_path) == CONTENT

    def test_found_out_on_the_way(self, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(PartialFile, "open_end", lambda partial: io.BufferedWriter(FullDisk(partial.path, "ab"), 256))
            message = fails(server, tmp_path, f"no room left on the disk of {tmp_path}")
        assert message.endswith("the same command then goes on")
        assert kept(tmp_path) == CONTENT[:1500]
        assert get(server, tmp_path) == CONTENT
        assert server.ranges() == [None, "bytes=1500-"]

    def test_no_permission(self, server: FileServer, tmp_path: Path) -> None:
        folder = tmp_path / "file"
        folder.write_text("a file where the folder should be")
        with pytest.raises(FetchError, match=f"cannot write {folder}/file.bin: Not a directory"):
            download(server.address, folder / "file.bin", DIGEST.difference, Recorded())
