"""Trying again where storage is slow, throttles or fails for a moment.

Which errors pass is read from what pyarrow says of them: the names and HTTP statuses of S3, the statuses of GCS, and the error
numbers of network file systems. All others, such as a denied access or a full disk, are final at once.
"""

from __future__ import annotations

import errno
import random
import re
import time
from collections.abc import Callable
from typing import Final, TypeVar

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
_NOBODY_THERE: Final = re.compile(r"curlCode: [67]\b|CURL error \[[67]\]")  # cannot resolve, cannot connect
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

        Raises:
            OSError: the action's, if it does not pass, or has not within `RETRY_SECONDS`. What a user can be told of it:
                `reason_of`.
        """
        started, bound, tries = self._clock(), FIRST_DELAY_SECONDS, 1
        reason = ""
        while True:
            try:
                result = action()
            except OSError as error:
                delay = random.uniform(bound / 2, bound)
                self._answered = self._answered or not _NOBODY_THERE.search(str(error))
                patience = RETRY_SECONDS if self._answered else FIRST_CONTACT_SECONDS
                if not is_transient(error) or self._clock() + delay - started > patience:
                    raise
                reason = reason_of(error)
            else:
                self._answered = True
                if reason:
                    self._note(f"{what}: done at try {tries}, after {self._clock() - started:.1f} s ({reason})")
                return result
            self._sleep(delay)
            tries, bound = tries + 1, min(2 * bound, LONGEST_DELAY_SECONDS)

    def take_notes(self) -> tuple[str, ...]:
        """What had to be tried again since the last call; at most `MAX_NOTES` lines and one that counts the others."""
        more = self._num_notes - len(self._notes)
        notes = (*self._notes, *([f"{more} more operations had to be tried again"] if more else []))
        self._notes, self._num_notes = [], 0
        return notes

    def _note(self, note: str) -> None:
        self._num_notes += 1
        if len(self._notes) < MAX_NOTES:
            self._notes.append(note)


def is_transient(error: OSError) -> bool:
    """Whether the same operation may succeed a little later."""
    if error.errno is not None:
        return error.errno in _TRANSIENT_ERRNOS
    text = str(error)
    if found := _AWS.search(text):
        return found["name"] in _AWS_TRANSIENT or int(found["status"] or 0) in _HTTP_TRANSIENT
    found = _GCS.search(text)
    return found is not None and found["name"] in _GCS_TRANSIENT


def reason_of(error: BaseException) -> str:
    """An error's message on one line, without the path that pyarrow puts in front."""
    text = " ".join(str(error).split()) or type(error).__name__
    if found := _AWS.search(text):
        return text[found.start() :]
    if found := _GCS.search(text):
        return f"GCS error {found['name']}: {found['reason']}"
    return text
