"""Endpoints of object stores: how users write the address of a server, and how pyarrow takes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from naswot_ray.errors import DatasetError

SCHEMES: Final = ("http", "https")
_HOST: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?|\[[0-9A-Fa-f:.]+\])"
_ENDPOINT: Final = re.compile(
    rf"(?:(?P<scheme>https?)://)?(?P<host>{_HOST})(?::(?P<port>\d{{1,5}}))?(?P<path>/(?!/)[^\s?#@]*)?"
)
_HIGHEST_PORT: Final = 65535


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens.

    Attributes:
        location: the host, followed by the port and the path if they were given.
        scheme: http or https; None if it was not given.
    """

    location: str
    scheme: str | None


def parse(text: str, named_by: str, *, is_url: bool = False) -> Endpoint:
    """Parse an endpoint.

    Args:
        text: HOST, HOST:PORT or a URL.
        named_by: the endpoint's name in messages, such as the variable that it comes from.
        is_url: whether it must begin with http:// or https://.

    Raises:
        DatasetError: it is malformed. The message does not show what stands before an @, because it may be a secret.
    """
    found = _ENDPOINT.fullmatch(text)
    example = "http://minio.example.org:9000" if is_url else "minio.example.org:9000"
    if found is None or (is_url and not found["scheme"]) or not 0 < int(found["port"] or 1) <= _HIGHEST_PORT:
        shown = text.rpartition("@")[2]
        credentials = ", without credentials" if "@" in text else ""
        raise DatasetError(f"{named_by}={shown}: expected an endpoint{credentials}, as in {example}")
    port = f":{found['port']}" if found["port"] else ""
    return Endpoint(f"{found['host']}{port}{(found['path'] or '').rstrip('/')}", found["scheme"])


def checked_scheme(text: str, named_by: str) -> str:
    """Check a scheme and return it in lower case.

    Raises:
        DatasetError: it is neither http nor https.
    """
    if text.lower() not in SCHEMES:
        raise DatasetError(f"{named_by}={text.rpartition('@')[2]}: expected {' or '.join(SCHEMES)}")
    return text.lower()
