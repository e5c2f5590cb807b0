"""Connections that no retry can establish fail at once, and the error says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from naswot_ray.dataset import address, inputs
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError, FetchError
from tests import s3, tls
from tests.cli.running import check_refusal, naswot

KEY = PurePosixPath("file")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tls.Certificate:
    return tls.make_certificate(tmp_path_factory.mktemp("good"), "good")


@pytest.fixture
def port(s3_server: s3.S3Server, good: tls.Certificate) -> Iterator[int]:
    """The S3 server behind TLS, with a certificate for which only `good` vouches."""
    with tls.in_front_of(s3_server.port, good) as number:
        yield number


@pytest.fixture(autouse=True)
def hasty_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the clients of S3 and GCS from trying again by themselves, which only takes time here."""
    monkeypatch.setattr(address, "SDK_ATTEMPTS", 1)
    monkeypatch.setattr(address, "SDK_SECONDS", 1.0)


@pytest.fixture(autouse=True)
def told(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Check that nothing was tried again: a retry would be reported."""
    yield
    assert "trying again" not in capfd.readouterr().err


def uri(bucket: str, port: int, *more: str) -> str:
    return "&".join([f"s3://{bucket}/d?endpoint_override=127.0.0.1:{port}", "region=us-east-1", *more])


def failures(root: str) -> Iterator[str]:
    """The messages of reading, listing and writing."""
    storage = Storage(root)
    for action in (lambda: storage.read_bytes(KEY), storage.list_files, lambda: storage.write_bytes(KEY, b"x")):
        with pytest.raises(DatasetError) as caught:
            action()
        assert "\n" not in str(caught.value)
        yield str(caught.value)
    with pytest.raises(FetchError) as fetching:
        inputs.local_path(root)
    yield str(fetching.value)


def test_an_authority_that_is_named_is_trusted(bucket: str, port: int, good: tls.Certificate) -> None:
    storage = Storage(uri(bucket, port, f"tls_ca_file_path={good.path}"))
    storage.write_bytes(KEY, b"over TLS")
    assert storage.read_bytes(KEY) == b"over TLS"


def test_a_certificate_that_nobody_vouches_for(bucket: str, port: int) -> None:
    for message in failures(uri(bucket, port)):
        assert "curlCode: 60" in message
        assert "self-signed certificate" in message
        assert "?tls_ca_file_path=" in message


@pytest.mark.parametrize(
    ("host", "valid_days", "reason"),
    [("example.org", 2, "no alternative certificate subject name matches"), ("127.0.0.1", -1, "certificate has expired")],
)
def test_a_certificate_of_another_host_or_of_another_time(
    s3_server: s3.S3Server, bucket: str, tmp_path: Path, host: str, valid_days: int, reason: str
) -> None:
    wrong = tls.make_certificate(tmp_path, "wrong", host=host, valid_days=valid_days)
    with tls.in_front_of(s3_server.port, wrong) as port:
        for message in failures(uri(bucket, port, f"tls_ca_file_path={wrong.path}")):
            assert reason in message
            assert "correct the endpoint's name" in message


def test_tls_with_a_server_that_speaks_none(s3_server: s3.S3Server, bucket: str) -> None:
    for message in failures(uri(bucket, s3_server.port)):
        assert "wrong version number" in message
        assert "?scheme=http for a server without TLS" in message


def test_an_authority_that_is_no_certificate(bucket: str, port: int, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for message in failures(uri(bucket, port, f"tls_ca_file_path={tmp_path}/ca.pem")):
        assert "Problem with the SSL CA cert" in message


def test_google_cloud_storage(s3_server: s3.S3Server, port: int) -> None:
    for number, code in ((port, 60), (s3_server.port, 35)):
        root = f"gs://anonymous@some-bucket/d?scheme=https&endpoint_override=127.0.0.1:{number}"
        with pytest.raises(DatasetError, match=rf"CURL error \[{code}\]"):
            Storage(root).read_bytes(KEY)


def test_a_command_says_it_in_one_line(bucket: str, port: int) -> None:
    for arguments in (("info",), ("score", "--in-process", "--limit", 1, "-o")):
        result = naswot(*arguments, uri(bucket, port))
        check_refusal(result.exit_code, result.stdout, result.stderr)
        assert "self-signed certificate" in result.stderr
