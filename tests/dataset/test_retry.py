"""Which failures are tried again, for how long, and what is reported about them."""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pytest

from naswot_ray.dataset import retry
from naswot_ray.dataset.retry import Retrier, is_transient, reason_of

SLOW_DOWN = "When uploading object with key 'k' in bucket 'b': AWS Error SLOW_DOWN during PutObject operation: reduce your rate"


HEAD = "AWS Error NETWORK_CONNECTION during HeadObject operation:"
CURL_35 = f"{HEAD} curlCode: 35, SSL connect error; Details:"
CURL_60 = f"{HEAD} curlCode: 60, SSL peer certificate or SSH remote key was not OK; Details:"
GCS = "google::cloud::Status(UNAVAILABLE: Retry policy exhausted, with a last message of PerformWork() -"


class Clock:
    """A clock that only advances during a sleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patient(clock: Clock) -> Retrier:
    return Retrier(clock=lambda: clock.now, sleep=clock.sleep)


def step(outcomes: Iterator[OSError | None]) -> str:
    error = next(outcomes)
    if error is not None:
        raise error
    return "done"


def test_an_error_that_passes(patient: Retrier, clock: Clock) -> None:
    outcomes: Iterator[OSError | None] = iter([*[OSError(SLOW_DOWN)] * 3, None])
    assert patient.call("write s3://b/k", lambda: step(outcomes)) == "done"
    for pause, bound in zip(clock.pauses, (0.5, 1.0, 2.0), strict=True):
        assert bound / 2 <= pause <= bound
    (note,) = patient.take_notes()
    expected = f"write s3://b/k: done at try 4, after {clock.now:.1f} s (AWS Error SLOW_DOWN during PutObject operation: "
    assert note == f"{expected}reduce your rate)"
    assert patient.take_notes() == ()


def test_every_retry_is_told_while_it_waits(
    patient: Retrier, clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "localtime", lambda seconds: time.gmtime(seconds))
    monkeypatch.setattr(time, "time", lambda: clock.now)
    told: list[str] = []

    def fail_three_times() -> str:
        told.append(capsys.readouterr().err)
        if len(told) <= 3:
            raise OSError(SLOW_DOWN)
        return "done"

    assert patient.call("write s3://b/k", fail_three_times) == "done"
    assert told[0] == ""
    for line, pause in zip(told[1:], clock.pauses, strict=True):
        reason = "AWS Error SLOW_DOWN during PutObject operation: reduce your rate"
        assert line == f"write s3://b/k: {reason}; trying again in {pause:.1f} s, until 00:05:00\n"


def test_an_error_of_gcs_that_is_no_oserror_becomes_one(patient: Retrier, clock: Clock) -> None:
    def fail() -> None:
        raise pa.ArrowInvalid("google::cloud::Status(INVALID_ARGUMENT: Cannot open credentials file /x error_info={reason=})")

    with pytest.raises(OSError, match="INVALID_ARGUMENT") as caught:
        patient.call("read gs://b/k", fail)
    assert reason_of(caught.value) == "GCS error INVALID_ARGUMENT: Cannot open credentials file /x"
    assert clock.pauses == []


def test_an_error_that_does_not_pass_is_raised_in_bounded_time(patient: Retrier, clock: Clock) -> None:
    outcomes = itertools.repeat(OSError(SLOW_DOWN))
    with pytest.raises(OSError, match="SLOW_DOWN"):
        patient.call("write", lambda: step(outcomes))
    assert retry.RETRY_SECONDS - retry.LONGEST_DELAY_SECONDS <= clock.now <= retry.RETRY_SECONDS
    assert max(clock.pauses) <= retry.LONGEST_DELAY_SECONDS
    assert patient.take_notes() == ()


def test_an_address_where_nobody_ever_was_is_given_up_soon(patient: Retrier, clock: Clock) -> None:
    refused = OSError("AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 7, Could not connect to server")
    outcomes: Iterator[OSError | None] = itertools.repeat(refused)
    with pytest.raises(OSError, match="curlCode: 7"):
        patient.call("read", lambda: step(outcomes))
    assert clock.now <= retry.FIRST_CONTACT_SECONDS
    started = clock.now
    assert patient.call("read", lambda: "an answer") == "an answer"
    with pytest.raises(OSError, match="curlCode: 7"):
        patient.call("read", lambda: step(outcomes))
    assert clock.now - started > retry.RETRY_SECONDS - retry.LONGEST_DELAY_SECONDS


def test_a_final_error_is_raised_at_once(patient: Retrier, clock: Clock) -> None:
    outcomes = iter([OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
    with pytest.raises(OSError, match="No space left"):
        patient.call("write", lambda: step(outcomes))
    assert clock.pauses == []


def test_the_notes_are_bounded(patient: Retrier) -> None:
    for number in range(retry.MAX_NOTES + 5):
        outcomes = iter([OSError(SLOW_DOWN), None])
        patient.call(f"write {number}", partial(step, outcomes))
    notes = patient.take_notes()
    assert len(notes) == retry.MAX_NOTES + 1
    assert notes[0].startswith("write 0: done at try 2")
    assert notes[-1] == "5 more notes"


@pytest.mark.parametrize(
    "message",
    [
        "AWS Error SLOW_DOWN during PutObject operation: m",
        "AWS Error INTERNAL_FAILURE during ListObjectsV2 operation: m",
        "AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 28, Timeout was reached",
        "AWS Error UNKNOWN (HTTP status 503) during HeadObject operation: No response body.",
        "AWS Error UNKNOWN (HTTP status -1) during PutObject operation: m",
        "AWS Error UNKNOWN (HTTP status 429) during HeadObject operation: No response body.",
        f"{HEAD} curlCode: 56, Failure when receiving data from the peer; Details: Recv failure: Connection reset by peer",
        f"{CURL_35} Recv failure: Connection reset by peer",
        f"{CURL_35} TLS connect error: error:0A000126:SSL routines::unexpected eof while reading",
        "google::cloud::Status(UNAVAILABLE: Retry policy exhausted in GetObjectMetadata: 503)",
        f"{GCS} CURL error [56]=Failure when receiving data from the peer error_info={{}})",
        "google::cloud::Status(UNAVAILABLE: Could not create a token: <!doctype html>\n<title>500</title>\n error_info={})",
    ],
)
def test_errors_that_pass(message: str) -> None:
    assert is_transient(OSError(f"When doing something with key 'k': {message}"))


@pytest.mark.parametrize(
    "message",
    [
        "AWS Error ACCESS_DENIED during PutObject operation: m",
        "AWS Error NO_SUCH_BUCKET during PutObject operation: m",
        "AWS Error INVALID_ACCESS_KEY_ID during PutObject operation: m",
        "AWS Error UNKNOWN (HTTP status 400) during HeadObject operation: No response body.",
        "AWS Error UNKNOWN (HTTP status 301) during HeadObject operation: No response body.",
        f"{CURL_60} SSL certificate OpenSSL verify result: self-signed certificate (18)",
        f"{CURL_60} SSL: no alternative certificate subject name matches target IPv4 address '127.0.0.1'",
        f"{CURL_35} TLS connect error: error:0A00010B:SSL routines::wrong version number",
        f"{CURL_35} error:0A000410:SSL routines::ssl/tls alert handshake failure",
        f"{HEAD} curlCode: 56, Details: error:0A00045C:SSL routines::tlsv13 alert certificate required",
        f"{HEAD} curlCode: 77, Problem with the SSL CA cert (path? access rights?)",
        "AWS Error [code 103] during HeadObject operation: Custom endpoint `http://127.0.0.1:abc` was not a valid URI",
        "AWS Error VALIDATION during HeadObject operation: Invalid DNS Label found in URI host",
        "google::cloud::Status(PERMISSION_DENIED: forbidden)",
        f"{GCS} CURL error [35]=SSL connect error error_info={{}})",
        "Unknown error: google::cloud::Status(UNKNOWN: Permanent error, CURL error [60]=SSL peer certificate "
        "or SSH remote key was not OK error_info={})",
        "Unknown error: google::cloud::Status(UNKNOWN: Permanent error - CURL error [3]=illegal URL error_info={})",
        "Cannot do this",
    ],
)
def test_errors_that_do_not(message: str) -> None:
    assert not is_transient(OSError(message))


@pytest.mark.parametrize(
    ("number", "passes"),
    [(errno.ESTALE, True), (errno.ETIMEDOUT, True), (errno.ENOSPC, False), (errno.EACCES, False), (errno.EROFS, False)],
)
def test_errors_of_the_operating_system(number: int, passes: bool) -> None:
    assert is_transient(OSError(number, "SLOW_DOWN")) is passes


def test_a_reason_is_one_line() -> None:
    assert reason_of(OSError(SLOW_DOWN.replace(": reduce", ":\n reduce"))).count("\n") == 0
    assert reason_of(OSError()) == "OSError"
    gcs = (
        "google::cloud::Status(UNAVAILABLE: Retry policy exhausted - CURL error [7] error_info={reason=, domain=, metadata={}})"
    )
    assert reason_of(OSError(gcs)) == "GCS error UNAVAILABLE: Retry policy exhausted - CURL error [7]"
    assert reason_of(OSError("google::cloud::Status(PERMISSION_DENIED: no)")) == "GCS error PERMISSION_DENIED: no"
