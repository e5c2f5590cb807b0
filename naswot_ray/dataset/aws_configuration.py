"""The AWS tools' configuration of S3, from their variables and files in their own order of precedence.

pyarrow takes credentials from the same places, but neither endpoints nor a profile's region:
https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
"""

from __future__ import annotations

import configparser
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from naswot_ray.errors import DatasetError

_Section = Mapping[str, str]

_CONFIG: Final = ("AWS_CONFIG_FILE", "~/.aws/config")
_CREDENTIALS: Final = ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
_PROFILE_VARIABLES: Final = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")
"""The first variable that is set counts, as in the AWS tools and in the client that takes credentials from the profile."""


@dataclass(frozen=True)
class Setting:
    """A configured value.

    Attributes:
        value: the text of the value.
        origin: where it is set, for messages: a variable, or a key of a profile and its file.
    """

    value: str
    origin: str


class AwsConfiguration:
    """The S3 configuration of this process.

    Every property raises `DatasetError` if a file is malformed or cannot be read, or if a named profile or section does not
    exist.

    Args:
        environ: the environment variables; by default those of the process.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ

    @property
    def endpoint(self) -> Setting | None:
        """The URL of the server to talk to; None for AWS itself."""
        ignored = self._variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or self._key("ignore_configured_endpoint_urls")
        if _is_true(ignored):
            return None
        return (
            self._variable("AWS_ENDPOINT_URL_S3")
            or self._variable("AWS_ENDPOINT_URL")
            or self._service_endpoint
            or self._key("endpoint_url")
        )

    @property
    def region(self) -> Setting | None:
        """The region that requests are signed for."""
        return self._variable("AWS_REGION") or self._variable("AWS_DEFAULT_REGION") or self._key("region")

    @property
    def authorities(self) -> Setting | None:
        """The file with the certificates of the trusted authorities."""
        return self._variable("AWS_CA_BUNDLE") or self._key("ca_bundle")

    @property
    def request_payer(self) -> Setting | None:
        """Who pays for requests; None if that is not configured, so that the bucket's owner pays."""
        return self._variable("AWS_REQUEST_PAYER") or self._key("request_payer")

    @property
    def special_endpoints(self) -> Setting | None:
        """A setting that asks for AWS's FIPS or dual-stack (IPv6) endpoints."""
        for name in ("use_fips_endpoint", "use_dualstack_endpoint"):
            setting = self._variable(f"AWS_{name.upper()}") or self._key(name)
            if _is_true(setting):
                return setting
        return None

    @cached_property
    def _profile_name(self) -> Setting | None:
        return next((setting for name in _PROFILE_VARIABLES if (setting := self._variable(name))), None)

    @cached_property
    def _files(self) -> dict[str, dict[str, _Section]]:
        """Variable -> sections of the file that it names."""
        return {variable: _read(self._path(variable, default)) for variable, default in (_CONFIG, _CREDENTIALS)}

    @cached_property
    def _profile(self) -> dict[str, Setting]:
        """The keys of the profile in use. Keys in the credentials file override those in the other file."""
        name = "default" if self._profile_name is None else self._profile_name.value
        merged: dict[str, Setting] = {}
        exists = False
        for variable, default in (_CONFIG, _CREDENTIALS):
            path = self._path(variable, default)
            for title, section in self._files[variable].items():
                own = title if variable == _CREDENTIALS[0] or title == "default" else _named("profile", title)
                if own == name:
                    exists = True
                    merged |= {key: Setting(value, f"{key} of profile {name} in {path}") for key, value in section.items()}
        if not exists and self._profile_name is not None:
            files = " or ".join(str(self._path(*file)) for file in (_CONFIG, _CREDENTIALS))
            raise DatasetError(f"{self._profile_name.origin}={name}: there is no such profile in {files}")
        return merged

    @property
    def _service_endpoint(self) -> Setting | None:
        """The endpoint of S3 in the section [services NAME] that the profile refers to."""
        named = self._key("services")
        if named is None:
            return None
        path = self._path(*_CONFIG)
        found = [section for title, section in self._files[_CONFIG[0]].items() if _named("services", title) == named.value]
        if not found:
            raise DatasetError(f"{named.origin} is {named.value}, but there is no section [services {named.value}]")
        url = _nested(found[-1].get("s3", ""), path).get("endpoint_url")
        return Setting(url, f"endpoint_url of s3 in [services {named.value}] in {path}") if url else None

    def _variable(self, name: str) -> Setting | None:
        value = self._environ.get(name)
        return Setting(value, name) if value else None

    def _key(self, name: str) -> Setting | None:
        setting = self._profile.get(name)
        return setting if setting is not None and setting.value else None

    def _path(self, variable: str, default: str) -> Path:
        named = self._environ.get(variable) or default
        return Path(os.path.expanduser(os.path.expandvars(named)))  # noqa: PTH111  keeps ~user if there is no such user, as the AWS tools do


def _is_true(setting: Setting | None) -> bool:
    return setting is not None and setting.value.lower() == "true"


def _named(kind: str, title: str) -> str | None:
    """The NAME of a section [KIND NAME]; None for sections of another form."""
    try:
        words = shlex.split(title)
    except ValueError:
        return None
    return words[1] if len(words) == 2 and words[0] == kind else None


def _read(path: Path) -> dict[str, _Section]:
    """The sections of a file. A file that does not exist has none, as in the AWS tools."""
    if not path.is_file():
        return {}
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text("utf-8"), str(path))
        sections: dict[str, _Section] = {title: dict(parser.items(title)) for title in parser.sections()}
        for section in sections.values():
            for value in section.values():
                _nested(value, path)
    except OSError as error:
        raise DatasetError(f"cannot read {path}, where the AWS tools are configured: {error.strerror}") from error
    except (configparser.Error, UnicodeDecodeError) as error:
        raise _malformed(path, error) from None  # the error's own message would quote a line, which may hold a secret
    return sections


def _malformed(path: Path, error: Exception | None = None) -> DatasetError:
    errors = getattr(error, "errors", None)
    line = errors[0][0] if errors else getattr(error, "lineno", None)
    where = "" if line is None else f" in line {line}"
    return DatasetError(
        f"{path}, where the AWS tools are configured, is malformed{where}: expected lines [SECTION] and KEY = VALUE, no "
        "section or key twice"
    )


def _nested(value: str, path: Path) -> _Section:
    """The keys that are indented below another key."""
    found: dict[str, str] = {}
    if value.startswith("\n"):
        for line in filter(None, map(str.strip, value.splitlines())):
            key, equals, text = line.partition("=")
            if not equals:
                raise _malformed(path)
            found[key.strip()] = text.strip()
    return found
