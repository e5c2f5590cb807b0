"""Paths as users write them: with `~`, as a URI, or relative, which needs care inside a Ray job."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from naswot_ray.errors import SettingsError

_JOB_VARIABLE: Final = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""The variable that `ray job submit` sets in the driver's environment; its value is JSON."""
_WORKING_DIRS: Final = "/runtime_resources/working_dir_files/"
"""Ray unpacks the folder given as `--working-dir` below this path. The copy gets a new name with every edit, and Ray deletes it
at some time."""


@dataclass(frozen=True)
class PathOption:
    """Marks an option or argument as a path. It stands next to the type: `Annotated[str, typer.Option(...), OUTPUT]`.

    Attributes:
        use: `input` if the command only reads the path, `output` if it writes it.
        may_be_uri: whether the path may be a URI.
        is_assignment: whether the option has the form PARAMETER=VALUE. Its value is then a path if PARAMETER is `source`.
    """

    use: Literal["input", "output"]
    may_be_uri: bool = True
    is_assignment: bool = False

    def settled(self, text: str, name: str) -> str:
        """Check a path that the user wrote and expand its `~`, so that the rest of the program can use it.

        Args:
            text: what the user wrote.
            name: the option's name, for messages.

        Raises:
            SettingsError: the user in `~user` does not exist, the URI contains credentials, the option takes no URI, or the
                path is relative inside a Ray job. An input that was uploaded with the job may be relative.
        """
        if self.is_assignment:
            parameter, equals, value = text.partition("=")
            if value and (parameter == "source" or has_credentials(value)):
                return f"{parameter}{equals}{INPUT.settled(value, f'{name} {parameter}'.strip())}"
            return text
        shown = without_credentials(text)
        called = f"{name} {shown}".strip()
        if has_credentials(text):
            raise SettingsError(f"{called}: {CREDENTIALS_REFUSED}")
        if is_uri(text):
            if not self.may_be_uri:
                raise SettingsError(f"{called}: expected a folder on a local disk, not a URI")
            return text
        if looks_like_uri(text):
            raise SettingsError(
                f"{called}: expected two slashes, as in s3://bucket/scores; for a local path of that name write ./{shown}"
            )
        path = str(expand_home(text)) if text.startswith("~") else text
        if is_in_job() and not Path(path).is_absolute() and not (self.use == "input" and _was_uploaded(path)):
            raise SettingsError(f"{called}: {self._refusal}")
        return path

    @property
    def _refusal(self) -> str:
        if self.use == "input":
            return (
                "inside a Ray job a relative path refers to the job's own folder, and this one was not uploaded with "
                "--working-dir; give an absolute path that the head node can read, as in /shared/data"
                f"{', or a URI, as in s3://bucket/data' if self.may_be_uri else ''}"
            )
        return (
            "inside a Ray job a relative path refers to the job's own folder on the cluster, which is deleted with the job; "
            f"give an absolute path that all nodes can reach, as in /shared/scores"
            f"{', or a URI, as in s3://bucket/scores' if self.may_be_uri else ''}"
        )


ANONYMOUS: Final = "anonymous"
"""The user name, before the @ of a URI, that asks for access without credentials."""
CREDENTIALS_REFUSED: Final = (
    "credentials do not belong in a URI, because URIs are logged and recorded; set them in the environment (see "
    "docs/storage.md) and remove everything before the @"
)

INPUT: Final = PathOption("input")
"""Marks a file, folder or URI that a command reads."""
OUTPUT: Final = PathOption("output")
"""Marks a file, folder or URI that a command writes, such as a dataset."""
LOCAL_OUTPUT: Final = PathOption("output", may_be_uri=False)
SPACE_OPTION: Final = PathOption("input", is_assignment=True)


def is_uri(text: str | os.PathLike[str]) -> bool:
    """Whether a text is a URI rather than a local path."""
    return "://" in os.fspath(text)


def looks_like_uri(text: str) -> bool:
    """Whether a text is not a URI but was most likely meant as one, such as `s3:bucket`."""
    return re.match(r"(?i)(s3|gs|file):", text) is not None and not is_uri(text)


def has_credentials(text: str) -> bool:
    """Whether a URI, even a misspelt one, contains something where a user name or a key would stand.

    Anything but `anonymous` between the scheme and an @ counts, as in `s3://KEY:SECRET@bucket`. In a URI of an object store a
    colon before the first slash counts as well: a secret may contain a slash, and its rest would look like the path.
    """
    scheme, rest = _halves(text)
    authority = re.split(r"[/\\?]", rest, maxsplit=1)[0] if scheme else ""
    user = authority.rpartition("@")[0]
    return user not in ("", ANONYMOUS) or (":" in authority and re.match(r"(?i)(s3|gs|file)\b", scheme) is not None)


def without_credentials(text: str) -> str:
    """Shorten a path or URI for messages: remove the URI's query and anything that may be a secret."""
    scheme, rest = _halves(text)
    if not scheme:
        return text
    if has_credentials(text):
        rest = rest.rpartition("@")[2] if "@" in rest else "..."
    return f"{scheme}{rest.partition('?')[0]}"


def hide_credentials(message: str) -> str:
    """Apply `without_credentials` to every URI in a message, which may quote texts from elsewhere."""

    def shown(found: re.Match[str]) -> str:
        return without_credentials(found[0]) if has_credentials(found[0]) else found[0]

    return re.sub(r"[^\s'\"=]*[^\s'\"=:;,.)]", shown, message)


def _halves(text: str) -> tuple[str, str]:
    """Split a text into what was meant as a URI's scheme, including its slashes, and the rest. A local path has no scheme."""
    found = re.match(r"(?i)[^/\\:@?]{2,}:(//|[/\\]+(?=.*@))[/\\]*|(s3|gs|file):[/\\]*", text)
    return (text[: found.end()], text[found.end() :]) if found else ("", text)


def expand_home(path: str | os.PathLike[str]) -> Path:
    """Replace `~` or `~user` at the beginning of a local path by a home directory.

    A file whose name really begins with `~` has to be written as `./~...`.

    Raises:
        SettingsError: the user does not exist.
    """
    text = os.fspath(path)
    if not text.startswith("~"):
        found = Path(text)
        # `Path` drops the `./`. Made absolute, the path is not expanded if it comes here again.
        return found.absolute() if str(found).startswith("~") else found
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        user = text.partition("/")[0]
        raise SettingsError(
            f"{text}: there is no home directory {user}; for a local path of that name write ./{text}"
        ) from error


def is_in_job() -> bool:
    """Whether this process is the driver of a job that `ray job submit` started, or a child of such a driver."""
    return _JOB_VARIABLE in os.environ or _WORKING_DIRS in _here()


def _was_uploaded(path: str) -> bool:
    """Whether a relative path exists in the folder that was uploaded with the job."""
    if _WORKING_DIRS not in _here() and not _has_working_dir():
        return False
    return not os.path.normpath(path).startswith("..") and os.path.exists(path)  # noqa: PTH110  as text, like the test before


def _has_working_dir() -> bool:
    try:
        config = json.loads(os.environ.get(_JOB_VARIABLE, ""))
    except (ValueError, RecursionError):
        return False
    environment = config.get("runtime_env") if isinstance(config, dict) else None
    return isinstance(environment, dict) and bool(environment.get("working_dir"))


def _here() -> str:
    return f"{Path.cwd()}/"
