"""An HTTP server on this machine. It serves one file as asked, or breaks in the ways in which real servers do."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """One way in which an answer is wrong.

    Attributes:
        status: the answer is only this status.
        drop_after: the connection is closed after this many bytes of the body.
        stall_after: nothing more is sent after this many bytes of the body.
        ignore_range: the whole file is sent, whatever range was requested.
        ignore_if_range: the rest of the file is sent although the file has changed.
        at_most: at most this many bytes of a range are announced and sent.
        shift: number that is added to the first byte of a range, both in the header and in what is sent.
        length_error: number that is added to the Content-Length; None leaves the header out.
        headers: headers besides the usual ones.
    """

    status: int | None = None
    drop_after: int | None = None
    stall_after: int | None = None
    ignore_range: bool = False
    ignore_if_range: bool = False
    at_most: int | None = None
    shift: int = 0
    length_error: int | None = 0
    headers: dict[str, str] = field(default_factory=dict)


class FileServer(http.server.ThreadingHTTPServer):
    """Serves `content`.

    Attributes:
        content, etag, modified: the file and its headers; a header that is None is left out.
        answers: how to answer the next requests; all later ones are answered correctly.
        seen: the headers of each request so far.
        sent: number of bytes of the body sent in reply to each.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.etag: str | None = '"one"'
        self.modified: str | None = None
        self.answers: list[Answer] = []
        self.seen: list[dict[str, str]] = []
        self.sent: list[int] = []
        self.closing = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/folder/file.bin"

    def ranges(self) -> list[str | None]:
        """The `Range` of each request."""
        return [headers.get("Range") for headers in self.seen]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing about a client that hangs up."""

    @contextmanager
    def running(self) -> Iterator[FileServer]:
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.closing.set()
            self.shutdown()
            thread.join()
            self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        server = self.server
        server.seen.append(dict(self.headers))
        answer = server.answers.pop(0) if server.answers else Answer()
        if answer.status is not None:
            server.sent.append(0)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first = self._first_byte(answer)
        if first is not None and first >= len(server.content):
            server.sent.append(0)
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = server.content[first or 0 :][: answer.at_most]
        self.send_response(200 if first is None else 206)
        if first is not None:
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{len(server.content)}")
        if answer.length_error is not None:
            self.send_header("Content-Length", str(len(body) + answer.length_error))
        headers = {"ETag": server.etag, "Last-Modified": server.modified, **answer.headers}
        for name, text in headers.items():
            if text is not None:
                self.send_header(name, text)
        self.end_headers()
        body = body[: answer.drop_after] if answer.stall_after is None else body[: answer.stall_after]
        server.sent.append(len(body))
        self.wfile.write(body)
        if answer.stall_after is not None:
            server.closing.wait()

    def _first_byte(self, answer: Answer) -> int | None:
        """Where the requested range begins; None for the whole file."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        changed = condition not in (None, self.server.etag, self.server.modified) and not answer.ignore_if_range
        return None if match is None or answer.ignore_range or changed else int(match[1]) + answer.shift

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Print nothing."""
