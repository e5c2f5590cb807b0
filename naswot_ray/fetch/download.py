"""The download of one file over HTTP. It resumes where it stopped, and the file gets its name only after it is verified.

`PartialFile` keeps what has arrived. The rest is requested with `Range`. `If-Range` makes a server that has another version of
the file by now send that version from the start (RFC 9110, sections 13.1.5 and 14).
"""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import requests
import urllib3
from rich.filesize import decimal

from naswot_ray.errors import FetchError
from naswot_ray.fetch.disk import check_room, write_failure
from naswot_ray.fetch.partial_file import PartialFile

MAX_TRIES = 5
BACKOFF_SECONDS = 1.0
"""Seconds to wait before the second try. The wait doubles before each further try."""
TIMEOUT_SECONDS = (10.0, 60.0)
"""Seconds to wait for a connection, and for each read."""
_CHUNK_BYTES = 1 << 18
_PASSING = (408, 429, 500, 502, 503, 504)
"""Status codes of failures that can pass, so that another try is worthwhile."""


class FetchProgress(Protocol):
    """Receives the progress of downloads and of other work on files, one file after another."""

    def begin(self, name: str, total: int | None, done: int) -> None:
        """A file begins: its total bytes if known, and those that exist already. Each new try calls this again."""

    def update(self, done: int) -> None:
        """So many bytes of the file exist now."""

    def note(self, message: str) -> None:
        """A line for the user: something unusual, or the next step."""


class _BrokenError(Exception):
    """This try did not bring the whole file, but another one may."""


def download(address: str, target: Path, find_flaw: Callable[[Path], str | None], progress: FetchProgress) -> None:
    """Download a file.

    Args:
        address: an HTTP or HTTPS URL. A redirection from HTTPS to plain HTTP is not followed.
        target: the path of the new file. Its folder must exist; the file itself must not.
        find_flaw: says what is wrong with the complete file; returns None if nothing is.
        progress: receives the progress.

    Raises:
        FetchError: the server has no such file, the connection was lost too often, the disk is full, or the file is not the
            right one. There is no file `target` then. The part that has arrived is kept, and the next call resumes it; a wrong
            file is deleted.
    """
    try:
        partial = PartialFile(address, target)
        if partial.refused:
            progress.note(f"{target.name}: {partial.refused}; beginning afresh")
        for number in range(1, MAX_TRIES + 1):
            try:
                _receive(address, partial, target.name, progress)
                break
            except _BrokenError as error:
                if number == MAX_TRIES:
                    kept = f"; {decimal(partial.size)} are kept, the same command goes on from there" if partial.size else ""
                    raise FetchError(f"{address}: {error}; tried {MAX_TRIES} times{kept}") from error
                wait = BACKOFF_SECONDS * 2 ** (number - 1)
                progress.note(f"{target.name}: {error}; trying again in {wait:.0f} s, try {number + 1} of {MAX_TRIES}")
                time.sleep(wait)
        progress.note(f"{target.name}: verifying")
        if flaw := find_flaw(partial.path):
            partial.drop()
            raise FetchError(f"{target.name} from {address} {flaw}; it was deleted, and the same command downloads it again")
        partial.finish()
    except OSError as error:
        raise write_failure(target, error) from error


def _receive(address: str, partial: PartialFile, name: str, progress: FetchProgress) -> None:
    """Try once.

    Raises:
        _BrokenError: another try may succeed.
        FetchError: no further try can succeed.
        OSError: the file cannot be written.
    """
    start = partial.size
    if start and start == partial.total:
        return
    try:
        with _get(address, start, partial.validator) as response:
            _check_answer(address, response, partial, start)
            if response.status_code == requests.codes.ok:
                start = 0
                partial.restart(_validator(response), _number(response.headers.get("Content-Length")))
            if partial.total is not None:
                check_room(partial.path.parent, partial.total - start, name)
            progress.begin(name, partial.total, start)
            _append(response, partial, start, progress)
    except urllib3.exceptions.HTTPError as error:
        raise _BrokenError(f"connection lost after {decimal(partial.size)} ({_reason(error)})") from error
    if partial.total is not None and partial.size != partial.total:
        raise _BrokenError(f"received {partial.size:,} of {partial.total:,} bytes")


def _get(address: str, start: int, validator: str | None) -> requests.Response:
    # Without "identity" a server may treat a .tar.gz as a .tar that it compressed for the transfer.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator is not None:
            headers["If-Range"] = validator
    try:
        return requests.get(address, headers=headers, stream=True, timeout=TIMEOUT_SECONDS)
    except (requests.ConnectionError, requests.Timeout) as error:
        cause = _innermost(error)
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            raise FetchError(f"{address}: no secure connection: {_reason(error)}") from error
        raise _BrokenError(f"no connection ({_reason(error)})") from error
    except requests.RequestException as error:
        raise FetchError(f"{address}: {_reason(error)}") from error
    except OSError as error:  # from requests itself, which looks for REQUESTS_CA_BUNDLE before it connects
        raise FetchError(f"{address}: no secure connection: {_reason(error)}") from error


def _check_answer(address: str, response: requests.Response, partial: PartialFile, start: int) -> None:
    """Refuse every answer except the whole file (200) and the missing rest of it (206)."""
    status = response.status_code
    if address.startswith("https:") and not all(hop.url.startswith("https:") for hop in (*response.history, response)):
        raise FetchError(f"{address}: redirected to {response.url}, which is not encrypted")
    if status in _PASSING:
        raise _BrokenError(f"the server answers {status} {response.reason}")
    if start and status in (requests.codes.partial_content, requests.codes.requested_range_not_satisfiable):
        begins, total = _content_range(response)
        same = _agree(partial.validator, _validator(response)) and _agree(partial.total, total)
        if status != requests.codes.partial_content or begins != start or not same:
            partial.drop()
            raise _BrokenError("the server has another version of the file by now, beginning afresh")
    elif status != requests.codes.ok:
        raise FetchError(f"{address}: the server answers {status} {response.reason}")


def _append(response: requests.Response, partial: PartialFile, done: int, progress: FetchProgress) -> None:
    with partial.open_end() as file:
        for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
            file.write(chunk)
            done += len(chunk)
            progress.update(done)
        file.flush()
        os.fsync(file.fileno())


def _validator(response: requests.Response) -> str | None:
    """The strong ETag of the file, or the date of its version if it has none."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """The first byte and the total size in a `Content-Range` such as `bytes 100-199/200`."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", ""))
    return (_number(match[1]), _number(match[2])) if match else (None, None)


def _agree(known: object, told: object) -> bool:
    return known is None or told is None or known == told


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _reason(error: BaseException) -> str:
    """The innermost cause of an error of requests, on one line."""
    return " ".join(str(_innermost(error)).split())


def _innermost(error: BaseException) -> BaseException:
    while True:
        inner = getattr(error, "reason", None) or next((arg for arg in error.args if isinstance(arg, BaseException)), None)
        if not isinstance(inner, BaseException):
            return error
        error = inner
