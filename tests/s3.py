"""Runs a real S3 server process, and a proxy before it that counts requests and makes storage slow, broken or throttling."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import boto3

REGION: Final = "us-east-1"
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "test-key",
    "AWS_SECRET_ACCESS_KEY": "test-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""The environment that a process needs to use the server."""

_START_SECONDS: Final = 240

_PROGRAM: Final = """
import os, sys, threading

def follow():
    sys.stdin.read()
    os._exit(0)

threading.Thread(target=follow, daemon=True).start()
from moto.server import main
main(sys.argv[1:])
"""
"""A program that serves S3, and ends when the process at the other end of its standard input ends, however that happens."""


@dataclass(frozen=True)
class S3Server:
    """A server that keeps buckets in memory.

    Attributes:
        port: on 127.0.0.1.
    """

    port: int

    def make_bucket(self, name: str) -> None:
        self._client().create_bucket(Bucket=name)

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Everything in a bucket: key -> content."""
        client = self._client()
        listed = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [item["Key"] for page in listed for item in page.get("Contents", ())]
        return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self._client().put_object(Bucket=bucket, Key=key, Body=data)

    def _client(self) -> Any:  # boto3 creates its classes at run time
        return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}", region_name=REGION)


def uri(bucket: str, prefix: str, port: int) -> str:
    """The URI of a prefix on a server of this machine."""
    return f"s3://{bucket}/{prefix}?endpoint_override=127.0.0.1:{port}&scheme=http&region={REGION}"


@contextlib.contextmanager
def serving() -> Iterator[S3Server]:
    """Run an S3 server in a process of its own, which ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", _PROGRAM, "-H", "127.0.0.1", "-p", str(port)]
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=null, stderr=null) as process:
        try:
            _await(port, process)
            yield S3Server(port)
        finally:
            process.kill()


@dataclass(frozen=True)
class Request:
    """What the proxy was asked.

    Attributes:
        number: number of requests before it.
        key: key of the object, with the bucket in front; for a listing, its prefix.
        is_listing: whether it lists a bucket.
    """

    number: int
    method: str
    key: str
    is_listing: bool


@dataclass(frozen=True)
class Answer:
    """What the proxy does with a request instead of passing the request on and the answer back.

    Attributes:
        status: status with which the proxy answers at once, if given.
        drop_body: the connection breaks in the middle of the request's body, and the server sees nothing of the request.
        drop_answer: the server executes the request, and the connection breaks in the middle of the answer.
        delay_seconds: time to wait before anything else.
    """

    status: int | None = None
    drop_body: bool = False
    drop_answer: bool = False
    delay_seconds: float = 0.0


Fault = Callable[[Request], Answer | None]

_CODES: Final = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}


@dataclass
class Proxy:
    """A proxy in front of the server.

    Attributes:
        port: port on 127.0.0.1.
        fault: decides what goes wrong; by default nothing.
        requests: all requests so far.
    """

    port: int
    fault: Fault = field(default=lambda request: None)
    requests: list[Request] = field(default_factory=list)

    def count(self, method: str) -> int:
        """The number of requests of one kind so far."""
        return sum(request.method == method for request in self.requests)


@contextlib.contextmanager
def proxying(server: S3Server) -> Iterator[Proxy]:
    """Run a proxy in threads of this process, which end with the block."""
    proxy = Proxy(0)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            url = urlsplit(self.path)
            listing = "list-type=2" in url.query
            key = url.path + (parse_qs(url.query).get("prefix", [""])[0] if listing else "")
            with lock:
                request = Request(len(proxy.requests), self.command, key, listing)
                proxy.requests.append(request)
            answer = proxy.fault(request) or Answer()
            time.sleep(answer.delay_seconds)
            if answer.drop_body:
                if self.command == "PUT":
                    self.rfile.read1(16)
                self._break()
                return
            body = self._read_body()
            if answer.status is not None:
                code = _CODES.get(answer.status, "Fault")
                error = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
                self._answer(answer.status, [("Content-Type", "application/xml")], b"" if self.command == "HEAD" else error)
                return
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            headers = {
                k: v for k, v in self.headers.items() if k.lower() not in ("transfer-encoding", "content-length", "expect")
            }
            connection.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
            response = connection.getresponse()
            content = response.read()
            connection.close()
            if not answer.drop_answer:
                self._answer(response.status, response.getheaders(), content)
                return
            if content:
                self._answer(response.status, response.getheaders(), content, num_sent=len(content) // 2)
            self._break()

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815

        def _read_body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, *, num_sent: int | None = None) -> None:
            self.send_response_only(status)
            length = str(len(content))
            for name, value in headers:
                if name.lower() == "content-length" and self.command == "HEAD":
                    length = value
                elif name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[:num_sent])

        def _break(self) -> None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that gave up

    httpd = Server(("127.0.0.1", 0), Handler)
    proxy.port = httpd.server_port
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert process.poll() is None, "the S3 server ended"
            assert time.monotonic() < deadline, "the S3 server does not start"
            time.sleep(0.05)
        else:
            return
