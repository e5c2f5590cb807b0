"""One file over HTTP: resumed where it broke off, verified before it gets its name.

`Partial` keeps what has arrived. The rest is asked for by `Range`, with `If-Range` so that a server that has another version by
now sends that one from its start (RFC 9110, sections 13.1.5 and 14).
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
from naswot_ray.fetch.partial import Partial

MAX_TRIES = 5
BACKOFF_SECONDS = 1.0
"""Wait before the second try; doubles with each."""
TIMEOUT_SECONDS = (10.0, 60.0)
"""To connect, and for each read."""
_CHUNK_BYTES = 1 << 18
_PASSING = (408, 429, 500, 502, 503, 504)
"""Statuses that another try may not meet again."""


class Progress(Protocol):
    """What is told of the work on one file after the other."""

    def begin(self, name: str, total: int | None, done: int) -> None:
        """Bytes in all, if known, and bytes that are there already. Comes again with the same name when a try is repeated."""

    def update(self, done: int) -> None:
        """Bytes that are there now."""

    def note(self, message: str) -> None:
        """Something out of the ordinary, or the next step."""


class _BrokenError(Exception):
    """This try brought no whole file, another may."""


def download(address: str, target: Path, find_flaw: Callable[[Path], str | None], progress: Progress) -> None:
    """Download a file.

    Args:
        address: HTTP or HTTPS; from HTTPS no redirection to plain HTTP is followed.
        target: where to; its folder exists, itself it does not.
        find_flaw: says what is wrong with the whole file, None if it is the right one.
        progress: is told of everything.

    Raises:
        FetchError: the server has no such file or was lost too often, the disk is full, or the file is not the right one. There
            is no file `target` then. What has arrived is kept and resumed by the next call, but for a file that is wrong.
    """
    try:
        partial = Partial(address, target)
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
            raise FetchError(f"{target.name} from {address} {flaw}; it is deleted, the same command downloads it again")
        partial.finish()
    except OSError as error:
        raise write_failure(target, error) from error


def _receive(address: str, partial: Partial, name: str, progress: Progress) -> None:
    """One try.

    Raises:
        _BrokenError: another may bring more.
        FetchError: no other will.
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
    # Without "identity" a server may send a .tar.gz as a .tar that it has compressed on the way.
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
    except OSError as error:  # of requests itself, which looks for REQUESTS_CA_BUNDLE before it connects
        raise FetchError(f"{address}: no secure connection: {_reason(error)}") from error


def _check_answer(address: str, response: requests.Response, partial: Partial, start: int) -> None:
    """Refuse every answer but the whole file (200) or the rest of what is there (206)."""
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


def _append(response: requests.Response, partial: Partial, done: int, progress: Progress) -> None:
    with partial.open_end() as file:
        for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
            file.write(chunk)
            done += len(chunk)
            progress.update(done)
        file.flush()
        os.fsync(file.fileno())


def _validator(response: requests.Response) -> str | None:
    """The strong ETag, or else the date of the version."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and bytes in all of a `Content-Range`, such as `bytes 100-199/200`."""
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
