"""Retries of operations on storage that is slow, throttles requests or fails for a moment.

Whether an error is transient is read from pyarrow's message: from the error names and HTTP statuses of S3, the statuses of
GCS, the codes of curl below both, or the error number of a network file system. All other errors, such as denied access, an
untrusted certificate or a full disk, are final at once. Before each pause the user is told why the operation waits, and for
how long.
"""

from __future__ import annotations

import errno
import random
import re
import time
from collections.abc import Callable
from typing import Final, TypeVar

import pyarrow as pa

from naswot_ray.terminal import complain

RETRY_SECONDS: Final = 300.0
"""How long an operation is retried."""
FIRST_CONTACT_SECONDS: Final = 15.0
"""How long an operation is retried if nothing has ever answered at the address, which is then probably mistyped."""
FIRST_DELAY_SECONDS: Final = 0.5
LONGEST_DELAY_SECONDS: Final = 30.0
MAX_NOTES: Final = 20

_T = TypeVar("_T")

_TRANSIENT_ERRNOS: Final = frozenset(
    {
        errno.EAGAIN,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.ENETUNREACH,
        errno.EPIPE,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
_AWS: Final = re.compile(r"AWS Error (?P<name>\w+)(?: \(HTTP status (?P<status>-?\d+)\))?")
_AWS_TRANSIENT: Final = frozenset(
    {
        "INTERNAL_FAILURE",
        "NETWORK_CONNECTION",
        "NO_SUCH_UPLOAD",  # the upload was completed, but the answer got lost
        "REQUEST_EXPIRED",
        "REQUEST_TIMEOUT",
        "REQUEST_TIME_TOO_SKEWED",
        "SERVICE_UNAVAILABLE",
        "SLOW_DOWN",
        "THROTTLING",
    }
)
_CURL: Final = re.compile(r"curlCode: (?P<s3>\d+)|CURL error \[(?P<gcs>\d+)\]")
_NOBODY_THERE: Final = frozenset({6, 7})  # cannot resolve, cannot connect
# The address or the TLS configuration of either side is wrong: https://curl.se/libcurl/c/libcurl-errors.html
_CURL_FINAL: Final = frozenset({1, 3, 4, 51, 53, 54, 58, 59, 60, 64, 66, 77, 80, 82, 83, 90, 91, 98})
_CURL_HANDSHAKE: Final = 35
_CURL_UNTRUSTED: Final = 60
# OpenSSL's message when one side refused the handshake, as opposed to a connection that broke during it.
_REFUSED: Final = re.compile(r"SSL routines::(?!unexpected eof|.*internal error)")
_CERTIFICATE_WANTED: Final = re.compile(r"SSL routines::.*certificate")  # in TLS 1.3 this comes after the handshake
_HTTP_TRANSIENT: Final = frozenset({-1, 408, 429, 500, 502, 503, 504})  # -1: no answer at all
_GCS: Final = re.compile(r"google::cloud::Status\((?P<name>\w+): (?P<reason>.*?)( error_info=|\)?$)")
_GCS_TRANSIENT: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED", "ABORTED"})


class Retrier:
    """Calls functions, and retries them with growing pauses as long as their errors are transient.

    The length of a pause is drawn at random, so that many actors that were throttled together do not return together.

    Args:
        clock, sleep: replaced in tests.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._clock, self._sleep = clock, sleep
        self._notes: list[str] = []
        self._num_notes = 0
        self._answered = False

    def call(self, what: str, action: Callable[[], _T]) -> _T:
        """Call `action`, retry it while its errors are transient, and return its result.

        Before each pause one line on stderr says what failed, why, how long the pause is and when this gives up.

        Args:
            what: the operation, for messages, such as "read s3://bucket/file".
            action: a function that is safe to call again.

        Raises:
            OSError: the error of the action, if it is final or has lasted for `RETRY_SECONDS`. `reason_of` makes a message for
                users from it.
        """
        started, bound, tries = self._clock(), FIRST_DELAY_SECONDS, 1
        reason = ""
        while True:
            try:
                result = action()
            except (OSError, pa.ArrowException) as error:  # for some errors of GCS pyarrow does not raise an OSError
                failure = error if isinstance(error, OSError) else OSError(str(error))
                delay = random.uniform(bound / 2, bound)
                self._answered = self._answered or _curl_code(str(error)) not in _NOBODY_THERE
                left = started + (RETRY_SECONDS if self._answered else FIRST_CONTACT_SECONDS) - self._clock()
                if not is_transient(failure) or delay > left:
                    raise failure from (None if failure is error else error)
                reason = reason_of(failure)
                until = time.strftime("%H:%M:%S", time.localtime(time.time() + left))
                complain(f"{what}: {reason}; trying again in {delay:.1f} s, until {until}")
            else:
                self._answered = True
                if reason:
                    self.note(f"{what}: done at try {tries}, after {self._clock() - started:.1f} s ({reason})")
                return result
            self._sleep(delay)
            tries, bound = tries + 1, min(2 * bound, LONGEST_DELAY_SECONDS)

    def take_notes(self) -> tuple[str, ...]:
        """Return the notes since the last call: at most `MAX_NOTES` lines, and one that counts the rest."""
        more = self._num_notes - len(self._notes)
        notes = (*self._notes, *([f"{more} more notes"] if more else []))
        self._notes, self._num_notes = [], 0
        return notes

    def note(self, note: str) -> None:
        """Keep a line that an operator should read for the next `take_notes`. The same line is kept once."""
        if note in self._notes:
            return
        self._num_notes += 1
        if len(self._notes) < MAX_NOTES:
            self._notes.append(note)


def is_transient(error: OSError) -> bool:
    """Whether the operation may succeed if it is repeated a little later."""
    if error.errno is not None:
        return error.errno in _TRANSIENT_ERRNOS
    text = _one_line(error)
    if _is_refused(text):
        return False
    if found := _AWS.search(text):
        return found["name"] in _AWS_TRANSIENT or int(found["status"] or 0) in _HTTP_TRANSIENT
    found = _GCS.search(text)
    return found is not None and found["name"] in _GCS_TRANSIENT


def reason_of(error: BaseException) -> str:
    """An error's message on one line, without the path that pyarrow puts before it."""
    text = _one_line(error) or type(error).__name__
    if found := _AWS.search(text):
        return text[found.start() :]
    if found := _GCS.search(text):
        return f"GCS error {found['name']}: {found['reason']}"
    return text


def remedy_of(error: BaseException) -> str:
    """What a user can do about a connection that fails however often it is retried; empty for other errors."""
    text = _one_line(error)
    if not _is_refused(text):
        return ""
    code = _curl_code(text)
    if code == _CURL_UNTRUSTED:
        return (
            "correct the endpoint's name, or, if your own authority has signed its certificate, give the authority's file with "
            "?tls_ca_file_path=..."
        )
    if code == _CURL_HANDSHAKE:
        return "correct the endpoint, or use ?scheme=http for a server without TLS"
    return "correct the endpoint, or the certificates that the connection is checked with"


def _is_refused(text: str) -> bool:
    """Whether a connection failed for a permanent reason: a wrong address, or certificates or protocols that do not match."""
    code = _curl_code(text)
    if code in _CURL_FINAL or _CERTIFICATE_WANTED.search(text):
        return True
    # GCS's client gives no details of a failed handshake, but it has already retried for some seconds by itself.
    return code == _CURL_HANDSHAKE and ("CURL error" in text or _REFUSED.search(text) is not None)


def _curl_code(text: str) -> int | None:
    found = _CURL.search(text)
    return int(found["s3"] or found["gcs"]) if found else None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
