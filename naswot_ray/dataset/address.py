"""Where a path or URI points: which file system, and what path there.

Credentials never come from a URI, which ends up in shell histories, logs and run records; the file systems find them where
their own tools do (docs/storage.md).
"""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from pyarrow import fs

from naswot_ray.dataset import retrying
from naswot_ray.errors import DatasetError

CONNECT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 30.0
"""How long a request may go without a byte."""
SDK_ATTEMPTS: Final = 3
"""How often S3's own client tries, within a few seconds and silently; what lasts longer is `retrying`'s."""
SDK_SECONDS: Final = 5.0
"""The same of GCS' client, which counts time instead."""

_QUERY: Final = {
    "s3": ("region", "scheme", "endpoint_override", "tls_ca_file_path"),
    "gs": ("scheme", "endpoint_override"),
}
_ANONYMOUS: Final = "anonymous"


@dataclass(frozen=True)
class Address:
    """A path or URI, taken apart.

    Attributes:
        text: as it was given; a relative path is made absolute.
        name: without the query, as it is shown to people.
        filesystem: where it lies.
        path: there.
        local: the path on the local disk; None for an object store.
        bucket: of an object store, else empty.
        anonymous: whether credentials are to be left out.
        options: the URI's query.
    """

    text: str
    name: str
    filesystem: fs.FileSystem
    path: str
    local: Path | None
    bucket: str = ""
    anonymous: bool = False
    options: tuple[tuple[str, str], ...] = ()


def is_uri(text: str | os.PathLike[str]) -> bool:
    """Whether a user means a URI rather than a local path."""
    return "://" in os.fspath(text)


def parse(text: str | os.PathLike[str]) -> Address:
    """Take a path or URI apart and connect to its file system, without looking whether anything is there.

    Raises:
        DatasetError: a URI of a kind that is not supported, malformed, or with credentials in it.
    """
    text = os.fspath(text)
    if not is_uri(text):
        if re.match(r"(?i)(s3|gs|file):", text):
            raise DatasetError(
                f"{text}: expected two slashes, as in s3://bucket/scores; for a local path of that name write ./{text}"
            )
        return _local(Path(text))
    url = urlsplit(text, allow_fragments=False)
    shown = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
    if url.scheme == "file":
        if url.netloc not in ("", "localhost"):
            raise DatasetError(f"{shown}: expected three slashes, as in file:///data/scores")
        return _local(Path(unquote(url.path)))
    if url.scheme not in _QUERY:
        raise DatasetError(f"{shown}: expected a local path or a URI that begins with s3://, gs:// or file://")
    user, at, bucket = url.netloc.rpartition("@")
    if at and user != _ANONYMOUS:
        raise DatasetError(
            f"{shown}: credentials do not belong in a URI, which is logged and recorded; set them in the environment "
            "(docs/storage.md tells how) and leave out what stands before the @"
        )
    if not bucket:
        raise DatasetError(f"{shown}: expected a bucket, as in {url.scheme}://bucket/scores")
    options = dict(parse_qsl(url.query, keep_blank_values=True))
    unknown = options.keys() - set(_QUERY[url.scheme])
    if unknown:
        raise DatasetError(
            f"{shown}: ?{min(unknown)}= is not known; a {url.scheme}:// URI takes {', '.join(_QUERY[url.scheme])}"
        )
    key = unquote(url.path).strip("/")
    given = tuple(sorted(options.items()))
    connect = _s3 if url.scheme == "s3" else _gcs
    return Address(
        text=text,
        name=f"{url.scheme}://{bucket}/{key}".rstrip("/"),
        filesystem=connect(bucket, bool(at), given),
        path=f"{bucket}/{key}".rstrip("/"),
        local=None,
        bucket=bucket,
        anonymous=bool(at),
        options=given,
    )


def split(text: str | os.PathLike[str]) -> tuple[str, str]:
    """The folder that a path or URI lies in, with the URI's query, and its name there."""
    text = os.fspath(text)
    if not is_uri(text):
        path = Path(text).absolute()
        return str(path.parent), path.name
    location, question_mark, query = text.partition("?")
    folder, _, name = location.rstrip("/").rpartition("/")
    return f"{folder}{question_mark}{query}", unquote(name)


def _local(path: Path) -> Address:
    path = path.absolute()
    return Address(str(path), str(path), fs.LocalFileSystem(), str(path), path)


@functools.cache  # one pool of connections per process
def _s3(bucket: str, anonymous: bool, options: tuple[tuple[str, str], ...]) -> fs.FileSystem:
    given = dict(options)
    if given.keys().isdisjoint({"region", "endpoint_override"}):
        given["region"] = _region(bucket)
    return fs.S3FileSystem(
        **given,
        anonymous=anonymous,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=SILENCE_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=SDK_ATTEMPTS),
        allow_delayed_open=True,  # one request for a small file
    )


@functools.cache
def _gcs(bucket: str, anonymous: bool, options: tuple[tuple[str, str], ...]) -> fs.FileSystem:
    return fs.GcsFileSystem(**dict(options), anonymous=anonymous, retry_time_limit=timedelta(seconds=SDK_SECONDS))


def _region(bucket: str) -> str:
    try:
        region: str = retrying.Retrying().call(f"find the region of s3://{bucket}", lambda: fs.resolve_s3_region(bucket))
    except OSError as error:
        raise DatasetError(
            f"s3://{bucket}: {retrying.reason_of(error)}; check the name, or say where it is with ?region=..."
        ) from error
    return region
