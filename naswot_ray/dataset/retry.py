"""Trying again where storage is slow, throttles or fails for a moment.

Which errors pass is read from what pyarrow says of them: the names and HTTP statuses of S3, the statuses of GCS, the codes of
curl below both, and the error numbers of network file systems. All others, such as a denied access, a certificate that is not
trusted or a full disk, are final at once. Whoever waits is told why and how long.
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
"""How long one operation is tried again."""
FIRST_CONTACT_SECONDS: Final = 15.0
"""The same, where nobody listens at the address and nobody ever has: it is rather mistyped than down."""
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
        "NO_SUCH_UPLOAD",  # its end was acknowledged, and the answer lost
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
# The address, or what TLS was set up with, is wrong here or there: https://curl.se/libcurl/c/libcurl-errors.html
_CURL_FINAL: Final = frozenset({1, 3, 4, 51, 53, 54, 58, 59, 60, 64, 66, 77, 80, 82, 83, 90, 91, 98})
_CURL_HANDSHAKE: Final = 35
_CURL_UNTRUSTED: Final = 60
# What OpenSSL says of a handshake that one side refused, rather than of a connection that broke meanwhile.
_REFUSED: Final = re.compile(r"SSL routines::(?!unexpected eof|.*internal error)")
_CERTIFICATE_WANTED: Final = re.compile(r"SSL routines::.*certificate")  # in TLS 1.3 said after the handshake
_HTTP_TRANSIENT: Final = frozenset({-1, 408, 429, 500, 502, 503, 504})  # -1: no answer at all
_GCS: Final = re.compile(r"google::cloud::Status\((?P<name>\w+): (?P<reason>.*?)( error_info=|\)?$)")
_GCS_TRANSIENT: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED", "ABORTED"})


class Retrying:
    """Calls that are tried again, with growing pauses, for as long as their error may pass.

    A pause is drawn at random up to its bound, so that many actors that were throttled at once do not come back at once.

    Args:
        clock, sleep: replaced in tests.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._clock, self._sleep = clock, sleep
        self._notes: list[str] = []
        self._num_notes = 0
        self._answered = False

    def call(self, what: str, action: Callable[[], _T]) -> _T:
        """What `action` returns.

        Args:
            what: the operation, for the note: "read s3://bucket/file".
            action: safe to repeat.

        Before each pause one line on stderr says what failed, why, how long the pause is and when this gives up.

        Raises:
            OSError: the action's, if it does not pass, or has not within `RETRY_SECONDS`. What a user can be told of it:
                `reason_of`.
        """
        started, bound, tries = self._clock(), FIRST_DELAY_SECONDS, 1
        reason = ""
        while True:
            try:
                result = action()
            except (OSError, pa.ArrowException) as error:  # pyarrow has no OSError for what GCS cannot do
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
        """What has been noted since the last call; at most `MAX_NOTES` lines and one that counts the others."""
        more = self._num_notes - len(self._notes)
        notes = (*self._notes, *([f"{more} more notes"] if more else []))
        self._notes, self._num_notes = [], 0
        return notes

    def note(self, note: str) -> None:
        """Keep a line that an operator should read, for the next `take_notes`; the same line counts once."""
        if note in self._notes:
            return
        self._num_notes += 1
        if len(self._notes) < MAX_NOTES:
            self._notes.append(note)


def is_transient(error: OSError) -> bool:
    """Whether the same operation may succeed a little later."""
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
    """An error's message on one line, without the path that pyarrow puts in front."""
    text = _one_line(error) or type(error).__name__
    if found := _AWS.search(text):
        return text[found.start() :]
    if found := _GCS.search(text):
        return f"GCS error {found['name']}: {found['reason']}"
    return text


def remedy_of(error: BaseException) -> str:
    """What there is to do about a connection that no retry brings about; empty for other errors."""
    text = _one_line(error)
    if not _is_refused(text):
        return ""
    code = _curl_code(text)
    if code == _CURL_UNTRUSTED:
        return (
            "correct the endpoint's name, or, for a certificate that an authority of your own has signed, name the authority's "
            "file with ?tls_ca_file_path=..."
        )
    if code == _CURL_HANDSHAKE:
        return "correct the endpoint, or say ?scheme=http for a server without TLS"
    return "correct the endpoint, or the certificates that the way there is checked by"


def _is_refused(text: str) -> bool:
    """Whether a connection failed for a reason that stays: a wrong address, or certificates or protocols that do not fit."""
    code = _curl_code(text)
    if code in _CURL_FINAL or _CERTIFICATE_WANTED.search(text):
        return True
    # GCS' client gives no details of a handshake, and has tried again for seconds by itself.
    return code == _CURL_HANDSHAKE and ("CURL error" in text or _REFUSED.search(text) is not None)


def _curl_code(text: str) -> int | None:
    found = _CURL.search(text)
    return int(found["s3"] or found["gcs"]) if found else None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
