"""Replaces the Hugging Face Hub by a server on this machine that knows as much of its HTTP API as an upload needs.

The requests follow the Hub's API documentation: create a repository, ask how each file is to be sent, send large files by Git
LFS, and commit. The client does not use the Hub's own storage for chunks (Xet), which `HF_HUB_DISABLE_XET` switches off.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TOKEN = "hf_standin"


class Hub(http.server.ThreadingHTTPServer):
    """Keeps what is committed.

    Attributes:
        repositories: name -> path -> content.
        large: SHA-256 -> content that was sent by LFS.
        requests: method and path of each request, in order.
        refusing: whether to answer every request with 403.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.refusing = False

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment that makes the client use this server."""
        return {"HF_ENDPOINT": self.endpoint, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

    @contextmanager
    def running(self) -> Iterator[Hub]:
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self._answer("POST")

    def do_GET(self) -> None:
        self._answer("GET")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Print nothing."""

    def _answer(self, method: str) -> None:
        hub, body = self.server, self._body()
        path = self.path.partition("?")[0]
        hub.requests.append(f"{method} {path}")
        if hub.refusing:
            return self._send(403, {"error": "Forbidden"})
        if method == "PUT":
            hub.large[path.rpartition("/")[2]] = body
            return self._send(200, {})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send(401, {"error": "Unauthorized"})
        if path == "/api/validate-yaml":
            return self._send(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            name = name if "/" in name else f"someone/{name}"
            assert asked["type"] == "dataset"
            hub.repositories.setdefault(name, {})
            return self._send(200, {"url": f"{hub.endpoint}/datasets/{name}", "name": name, "id": name})
        name, _, action = path.removeprefix("/api/datasets/").removeprefix("/datasets/").partition("/preupload/")
        if action:
            files = json.loads(body)["files"]
            modes = [
                {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(("parquet", "arrow")) else "regular"}
                for f in files
            ]
            return self._send(200, {"files": [mode | {"shouldIgnore": False} for mode in modes]})
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            upload = {o["oid"]: {"upload": {"href": f"{hub.endpoint}/lfs/{o['oid']}", "header": {}}} for o in objects}
            listed = [{"oid": o["oid"], "size": o["size"], "actions": upload[o["oid"]]} for o in objects]
            return self._send(200, {"transfer": "basic", "objects": listed})
        name, _, action = path.removeprefix("/api/datasets/").partition("/commit/")
        if action:
            self._commit(name, [json.loads(line) for line in body.splitlines()])
            where = f"{hub.endpoint}/datasets/{name}/commit/{'0' * 40}"
            return self._send(200, {"commitUrl": where, "commitOid": "0" * 40})
        if method == "GET" and "/tree/" in path:
            name = path.removeprefix("/api/datasets/").partition("/tree/")[0]
            files = [{"type": "file", "path": p, "oid": "0", "size": len(c)} for p, c in hub.repositories[name].items()]
            return self._send(200, files)
        if method == "GET" and "/revision/" in path:
            name = path.removeprefix("/api/datasets/").partition("/revision/")[0]
            return self._send(200, {"id": name, "sha": "0" * 40, "siblings": [], "private": False, "tags": []})
        return self._send(404, {"error": f"the stand-in does not know {method} {path}"})

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        files = self.server.repositories[name]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            elif line["key"] == "lfsFile":
                content = self.server.large[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                files[value["path"]] = content

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _send(self, status: int, answer: dict[str, Any] | list[dict[str, Any]]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
