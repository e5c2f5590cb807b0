"""Which paths and URIs are understood. No credential is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow import fs

from naswot_ray.dataset import address, inputs
from naswot_ray.errors import DatasetError
from naswot_ray.paths import without_credentials

HERE = "endpoint_override=127.0.0.1:1&scheme=http&region=us-east-1"


@pytest.mark.parametrize(
    ("text", "name", "path"),
    [
        (f"s3://bucket/a/b?{HERE}", "s3://bucket/a/b", "bucket/a/b"),
        (f"S3://bucket/a/b/?{HERE}", "s3://bucket/a/b", "bucket/a/b"),
        (f"s3://bucket?{HERE}", "s3://bucket", "bucket"),
        (f"s3://bucket/a%20b/c d#e?{HERE}", "s3://bucket/a b/c d#e", "bucket/a b/c d#e"),
        (f"s3://anonymous@bucket/a?{HERE}", "s3://bucket/a", "bucket/a"),
        ("gs://anonymous@bucket/a?endpoint_override=127.0.0.1:1", "gs://bucket/a", "bucket/a"),
    ],
)
def test_uris_of_object_stores(text: str, name: str, path: str) -> None:
    found = address.parse(text)
    assert (found.text, found.name, found.path, found.bucket, found.local) == (text, name, path, "bucket", None)
    assert isinstance(found.filesystem, fs.S3FileSystem if name.startswith("s3") else fs.GcsFileSystem)


@pytest.mark.parametrize("text", ["/data/a b", "/data/50%", "/data/a?b", "file:///data/a%20b", "file://localhost/data/x"])
def test_local_paths(text: str) -> None:
    expected = Path(text) if text.startswith("/") else Path("/data") / ("a b" if "%20" in text else "x")
    found = address.parse(text)
    assert (found.local, found.path, found.name, found.bucket) == (expected, str(expected), str(expected), "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://example.org/scores", "https://example.org/scores: expected a local path or a URI that begins with s3://"),
        ("s3:/bucket/scores", "expected two slashes, as in s3://bucket/scores"),
        ("s3:bucket", "expected two slashes"),
        ("file:/data/scores", "expected two slashes"),
        ("file://data/scores", "expected three slashes"),
        ("s3:///scores", "s3:///scores: expected a bucket"),
        ("s3://bucket/a?endpoint=x", r"\?endpoint= is not known; a s3:// URI takes region, scheme, endpoint_override"),
        ("gs://bucket/a?region=x", r"\?region= is not known"),
        ("s3://bucket/a?scheme=ftp", r"s3://bucket/a: \?scheme=ftp: expected http or https"),
        (
            "s3://bucket/a?endpoint_override=127.0.0.1:99999",
            r"\?endpoint_override=127.0.0.1:99999: expected an endpoint, as in",
        ),
        ("s3://bucket/a?endpoint_override=http//host", r"\?endpoint_override=http//host: expected an endpoint"),
        ("gs://bucket/a?endpoint_override=host:abc", r"\?endpoint_override=host:abc: expected an endpoint"),
        ("s3://bucket/a?endpoint_override=a%20b", r"\?endpoint_override=a b: expected an endpoint"),
        ("s3://bucket/a?region=x&tls_ca_file_path=/nowhere", r"\?tls_ca_file_path=/nowhere: the file does not exist"),
    ],
)
def test_what_is_refused(text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=message):
        address.parse(text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIA123:wJalr@bucket/a",
        "s3://AKIA123:wJa%2Flr@bucket/a?region=x",
        "gs://me:wJalr@bucket",
        "s3://AKIA123:wJa/lr@bucket/a",
        "s3://AKIA123:wJa?lr@bucket/a",
        "s3://AKIA123:wJa\u2100lr@bucket/a",
        "s3://[AKIA123:wJalr@bucket/a",
        "s3://AKIA123@a@bucket/a",
        "s3:///AKIA123:wJalr@bucket/a",
        "s3:/AKIA123:wJalr@bucket",
        "s3:/AKIA123:wJa/lr@bucket",
        "s3:AKIA123:wJalr@bucket",
        "S3://AKIA123:wJalr@bucket",
        "s3a://AKIA123:wJalr@bucket",
        "https://me:wJalr@bucket",
        "file://me:wJalr@bucket/a",
    ],
)
def test_credentials_in_a_uri_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(DatasetError, match="credentials do not belong in a URI") as caught:
        address.parse(text)
    message = str(caught.value)
    assert "bucket" in message
    assert not any(secret in message for secret in ("AKIA123", "wJa", "me:"))
    assert caught.value.__cause__ is None, "a traceback would show what the cause says"
    with pytest.raises(DatasetError, match="credentials do not belong in a URI"):
        inputs.local_path(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/a@b/c", "s3://bucket/a@b/c"),
        ("s3://bucket/a?region=x", "s3://bucket/a"),
        ("s3://anonymous@bucket/a", "s3://anonymous@bucket/a"),
        ("s3://AKIA123:wJalr", "s3://..."),
        ("https://example.org:8080/a", "https://example.org:8080/a"),
        ("/data/me:wJalr@bucket", "/data/me:wJalr@bucket"),
        ("C:\\a@b", "C:\\a@b"),
    ],
)
def test_what_is_shown_of_a_path(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@pytest.mark.parametrize(
    "query",
    [
        "scheme=me:wJalr@x",
        "endpoint_override=me:wJalr@x",
        "endpoint_override=http://me:wJa/lr@x",
        "region=me:wJalr@x",
        "secret_key=wJalr",
        "me:wJalr@x=1",
        "tls_ca_file_path=me:wJalr@x&region=x",
    ],
)
def test_secrets_in_a_query_are_refused_and_not_shown(query: str) -> None:
    with pytest.raises(DatasetError) as caught:
        address.parse(f"s3://bucket/a?{query}")
    assert "wJa" not in str(caught.value)
