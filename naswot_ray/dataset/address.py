"""Addresses: the file system that a path or URI refers to, and the path in it.

Credentials are never taken from a URI, because URIs end up in shell histories, logs and run records. The file systems find them
where the clouds' own tools do (docs/storage.md). Other settings of those tools, such as an endpoint, complete the URI.
"""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from pyarrow import fs

from naswot_ray.dataset import endpoint, retry
from naswot_ray.dataset.aws_configuration import AwsConfiguration
from naswot_ray.errors import DatasetError
from naswot_ray.paths import CREDENTIALS_REFUSED, expand_home, has_credentials, is_uri, looks_like_uri, without_credentials

CONNECT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 30.0
"""How long a server may send nothing before the request fails."""
SDK_ATTEMPTS: Final = 3
"""How often S3's client tries by itself, silently and within a few seconds. Failures that last longer are left to `retry`."""
SDK_SECONDS: Final = 5.0
"""How long GCS's client tries by itself."""

_QUERY: Final = {
    "s3": ("region", "scheme", "endpoint_override", "tls_ca_file_path"),
    "gs": ("scheme", "endpoint_override"),
}
_REQUEST_PAYER: Final = frozenset({"requestpayer", "xamzrequestpayer"})
"""Names of the option to pay for requests in various tools, in lower case without hyphens and underscores."""
_REGION_ELSEWHERE: Final = "us-east-1"
"""The region that servers other than AWS are told; they ignore it."""


@dataclass(frozen=True)
class Address:
    """The components of a path or URI.

    Attributes:
        text: the path or URI as it was given; a relative path is made absolute.
        pinned: a path or URI that means the same in any process, whatever its folder, variables and AWS profile.
        name: the path or URI without its query, for messages.
        filesystem: the file system that it refers to.
        path: the path in that file system.
        local: the path on the local disk; None for an object store.
        bucket: the bucket of an object store; empty for a local path.
        anonymous: whether to use no credentials.
        options: the URI's query, completed. An empty `endpoint_override` means the cloud's own endpoint.
    """

    text: str
    pinned: str
    name: str
    filesystem: fs.FileSystem
    path: str
    local: Path | None
    bucket: str = ""
    anonymous: bool = False
    options: tuple[tuple[str, str], ...] = ()


def parse(text: str | os.PathLike[str]) -> Address:
    """Parse a path or URI and connect to its file system. Whether anything exists there is not checked.

    Raises:
        DatasetError: the URI is malformed, is of a kind that is not supported, or contains credentials.
        SettingsError: a local path begins with `~user` and the user does not exist.
    """
    text = os.fspath(text)
    shown = without_credentials(text)
    if has_credentials(text):
        raise DatasetError(f"{shown}: {CREDENTIALS_REFUSED}")
    if not is_uri(text):
        if looks_like_uri(text):
            raise DatasetError(
                f"{shown}: expected two slashes, as in s3://bucket/scores; for a local path of that name write ./{shown}"
            )
        return _local(expand_home(text))
    try:
        url = urlsplit(text, allow_fragments=False)
    except ValueError:  # its message would show the whole URI
        raise DatasetError(f"{shown}: expected a URI such as s3://bucket/scores") from None
    if url.scheme == "file":
        if url.netloc not in ("", "localhost"):
            raise DatasetError(f"{shown}: expected three slashes, as in file:///data/scores")
        return _local(Path(unquote(url.path)))
    if url.scheme not in _QUERY:
        raise DatasetError(f"{shown}: expected a local path or a URI that begins with s3://, gs:// or file://")
    _, at, bucket = url.netloc.rpartition("@")
    if not bucket:
        raise DatasetError(f"{shown}: expected a bucket, as in {url.scheme}://bucket/scores")
    given = _checked_options(url.scheme, shown, url.query)
    options = _s3_options(bucket, given) if url.scheme == "s3" else given
    key = unquote(url.path).strip("/")
    ordered = tuple(sorted(options.items()))
    connect = _s3 if url.scheme == "s3" else _gcs
    return Address(
        text=text,
        pinned=text if options == given else f"{text.partition('?')[0]}?{urlencode(options)}",
        name=f"{url.scheme}://{bucket}/{key}".rstrip("/"),
        filesystem=connect(bool(at), ordered),
        path=f"{bucket}/{key}".rstrip("/"),
        local=None,
        bucket=bucket,
        anonymous=bool(at),
        options=ordered,
    )


def split(text: str | os.PathLike[str]) -> tuple[str, str]:
    """Split a path or URI into its folder, with the URI's query, and its name in that folder."""
    text = os.fspath(text)
    if not is_uri(text):
        path = expand_home(text).absolute()
        return str(path.parent), path.name
    location, question_mark, query = text.partition("?")
    folder, _, name = location.rstrip("/").rpartition("/")
    return f"{folder}{question_mark}{query}", unquote(name)


def _local(path: Path) -> Address:
    path = path.absolute()
    return Address(str(path), str(path), str(path), fs.LocalFileSystem(), str(path), path)


def _checked_options(scheme: str, shown: str, query: str) -> dict[str, str]:
    """Parse and check the query of a URI.

    Raises:
        DatasetError: a key is unknown or its value is malformed.
    """
    options = dict(parse_qsl(query, keep_blank_values=True))
    for key in options:
        if key.lower().replace("-", "").replace("_", "") in _REQUEST_PAYER:
            raise DatasetError(f"{shown}: {_who_pays(f'?{key}=')}")
    unknown = options.keys() - set(_QUERY[scheme])
    if unknown:
        named = next((f"?{key}=" for key in sorted(unknown) if re.fullmatch(r"[\w-]+", key)), "its query")
        raise DatasetError(f"{shown}: {named} is not known; a {scheme}:// URI takes {', '.join(_QUERY[scheme])}")
    if not re.fullmatch(r"[\w-]*", options.get("region", "")):
        raise DatasetError(f"{shown}: ?region= is malformed; expected a region, as in eu-central-1")
    if "scheme" in options:
        options["scheme"] = endpoint.checked_scheme(options["scheme"], f"{shown}: ?scheme")
    if options.get("endpoint_override"):
        _set_endpoint(options, endpoint.parse(options["endpoint_override"], f"{shown}: ?endpoint_override"))
    return options


def _s3_options(bucket: str, given: dict[str, str]) -> dict[str, str]:
    """Complete the query of an S3 URI from the configuration of the AWS tools.

    Raises:
        DatasetError: the configuration is malformed or asks for something that is not supported.
    """
    options = dict(given)
    configured = AwsConfiguration()
    if payer := configured.request_payer:
        raise DatasetError(f"s3://{bucket}: {_who_pays(f'{payer.origin}={payer.value}')}")
    if "endpoint_override" not in options:
        options["endpoint_override"] = ""
        if url := configured.endpoint:
            _set_endpoint(options, endpoint.parse(url.value, url.origin, is_url=True))
        elif special := configured.special_endpoints:
            raise DatasetError(
                f"s3://{bucket}: {special.origin}={special.value} is not supported; name the endpoint itself, as in "
                "AWS_ENDPOINT_URL_S3=https://s3-fips.us-east-1.amazonaws.com"
            )
    if not options.get("region"):
        region = configured.region
        if region is not None:
            options["region"] = region.value
        else:
            options["region"] = _REGION_ELSEWHERE if options["endpoint_override"] else _region(bucket)
    if options.get("scheme") == "http":
        options.pop("tls_ca_file_path", None)
        return options
    authorities, named_by = options.get("tls_ca_file_path"), "?tls_ca_file_path"
    if not authorities and (setting := configured.authorities):
        authorities, named_by = setting.value, setting.origin
    if authorities:
        path = expand_home(authorities).absolute()
        if not os.access(path, os.R_OK) or not path.is_file():
            raise DatasetError(
                f"s3://{bucket}: {named_by}={authorities.rpartition('@')[2]}: the file does not exist or cannot be read"
            )
        options["tls_ca_file_path"] = str(path)
    return options


def _set_endpoint(options: dict[str, str], found: endpoint.Endpoint) -> None:
    options["endpoint_override"] = found.location
    if found.scheme:
        options.setdefault("scheme", found.scheme)


def _who_pays(wish: str) -> str:
    return (
        f"{wish} is not supported: requests are always paid by the bucket's owner; copy what you need to a bucket of your own "
        "with `aws s3 cp --recursive --request-payer requester`, and use that"
    )


@functools.cache  # one pool of connections per process
def _s3(anonymous: bool, options: tuple[tuple[str, str], ...]) -> fs.FileSystem:
    return fs.S3FileSystem(
        **{key: value for key, value in options if value},
        anonymous=anonymous,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=SILENCE_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=SDK_ATTEMPTS),
        allow_delayed_open=True,  # one request for a small file
    )


@functools.cache
def _gcs(anonymous: bool, options: tuple[tuple[str, str], ...]) -> fs.FileSystem:
    given = {key: value for key, value in options if value}
    return fs.GcsFileSystem(**given, anonymous=anonymous, retry_time_limit=timedelta(seconds=SDK_SECONDS))


@functools.cache
def _region(bucket: str) -> str:
    """Ask AWS which region a bucket is in.

    Raises:
        DatasetError: AWS cannot be reached, or the bucket does not exist.
    """
    try:
        region: str = retry.Retrier().call(f"find the region of s3://{bucket}", lambda: fs.resolve_s3_region(bucket))
    except OSError as error:
        raise DatasetError(
            f"s3://{bucket}: {retry.reason_of(error)}; check the bucket's name, or give its region with ?region=..."
        ) from error
    return region
