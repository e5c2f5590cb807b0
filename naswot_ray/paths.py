"""Paths as users write them: what `~` stands for, what is a URI, and what a relative path means inside a Ray job."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from naswot_ray.errors import SettingsError

_JOB_VARIABLE: Final = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""What `ray job submit` sets in the driver's environment; its value is JSON."""
_WORKING_DIRS: Final = "/runtime_resources/working_dir_files/"
"""Below this Ray unpacks what `--working-dir` names, in a folder that changes with every edit and is deleted some time."""


@dataclass(frozen=True)
class PathOption:
    """Marks an option or argument as a path, beside its type: `Annotated[str, typer.Option(...), OUTPUT]`.

    Attributes:
        use: whether something is read there, or written and perhaps read.
        may_be_uri: whether an object store will do.
        is_assignment: whether the path stands in an entry PARAMETER=VALUE, where PARAMETER is `source`.
    """

    use: Literal["input", "output"]
    may_be_uri: bool = True
    is_assignment: bool = False

    def settled(self, text: str, name: str) -> str:
        """A path as the rest of the program takes it, with `~` expanded.

        Args:
            text: what the user wrote.
            name: what a message calls the option.

        Raises:
            SettingsError: a user of `~user` that does not exist, credentials in a URI, a URI where only a local path will do,
                or a relative path inside a Ray job, but for an input that came along.
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
        if is_in_job() and not Path(path).is_absolute() and not (self.use == "input" and _came_along(path)):
            raise SettingsError(f"{called}: {self._refusal}")
        return path

    @property
    def _refusal(self) -> str:
        if self.use == "input":
            return (
                "inside a Ray job a relative path is looked for in the job's own folder, and this did not come along with "
                "--working-dir; give an absolute path that the head node sees, as in /shared/data"
                f"{', or a URI, as in s3://bucket/data' if self.may_be_uri else ''}"
            )
        return (
            "inside a Ray job a relative path lies in a folder of the job's own on the cluster, which is deleted with it; give "
            f"an absolute path that all nodes see, as in /shared/scores"
            f"{', or a URI, as in s3://bucket/scores' if self.may_be_uri else ''}"
        )


ANONYMOUS: Final = "anonymous"
"""Stands before an @ where no credentials are to be used."""
CREDENTIALS_REFUSED: Final = (
    "credentials do not belong in a URI, which is logged and recorded; set them in the environment (docs/storage.md tells how) "
    "and leave out what stands before the @"
)

INPUT: Final = PathOption("input")
"""Something that a command reads: a file or folder, or a URI."""
OUTPUT: Final = PathOption("output")
"""A dataset, or something else that a command writes: a file or folder, or a URI."""
LOCAL_OUTPUT: Final = PathOption("output", may_be_uri=False)
SPACE_OPTION: Final = PathOption("input", is_assignment=True)


def is_uri(text: str | os.PathLike[str]) -> bool:
    """Whether a user means a URI rather than a local path."""
    return "://" in os.fspath(text)


def looks_like_uri(text: str) -> bool:
    """Whether a text that is no URI was most likely meant as one."""
    return re.match(r"(?i)(s3|gs|file):", text) is not None and not is_uri(text)


def has_credentials(text: str) -> bool:
    """Whether a text that was meant as a URI has anything where a user's name or a key stands, however it is misspelt.

    That is what stands before an @ in front of the path, but for `anonymous`; and for a bucket also a colon there, since a
    secret with a slash in it makes the rest look like the path.
    """
    scheme, rest = _halves(text)
    authority = re.split(r"[/\\?]", rest, maxsplit=1)[0] if scheme else ""
    user = authority.rpartition("@")[0]
    return user not in ("", ANONYMOUS) or (":" in authority and re.match(r"(?i)(s3|gs|file)\b", scheme) is not None)


def without_credentials(text: str) -> str:
    """A path or URI for messages: without a URI's query, and without anything that may be a secret."""
    scheme, rest = _halves(text)
    if not scheme:
        return text
    if has_credentials(text):
        rest = rest.rpartition("@")[2] if "@" in rest else "..."
    return f"{scheme}{rest.partition('?')[0]}"


def hide_credentials(message: str) -> str:
    """A message in which every URI is as `without_credentials` shows it, for those that quote what they do not know."""

    def shown(found: re.Match[str]) -> str:
        return without_credentials(found[0]) if has_credentials(found[0]) else found[0]

    return re.sub(r"[^\s'\"=]*[^\s'\"=:;,.)]", shown, message)


def _halves(text: str) -> tuple[str, str]:
    """What was meant as a URI's scheme, with the slashes behind it, and the rest; no scheme in a local path."""
    found = re.match(r"(?i)[^/\\:@?]{2,}:(//|[/\\]+(?=.*@))[/\\]*|(s3|gs|file):[/\\]*", text)
    return (text[: found.end()], text[found.end() :]) if found else ("", text)


def expand_home(path: str | os.PathLike[str]) -> Path:
    """A local path with `~` or `~user` at its beginning replaced by a home directory.

    A file that is really called so is written `./~...`.

    Raises:
        SettingsError: there is no such user.
    """
    text = os.fspath(path)
    if not text.startswith("~"):
        found = Path(text)
        return found.absolute() if str(found).startswith("~") else found  # or the next who asks would take it for a home
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        user = text.partition("/")[0]
        raise SettingsError(
            f"{text}: there is no home directory {user}; for a local path of that name write ./{text}"
        ) from error


def is_in_job() -> bool:
    """Whether this process is the driver of a job that `ray job submit` started, or was started by one."""
    return _JOB_VARIABLE in os.environ or _WORKING_DIRS in _here()


def _came_along(path: str) -> bool:
    """Whether a relative path is there, in what was uploaded with the job."""
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
