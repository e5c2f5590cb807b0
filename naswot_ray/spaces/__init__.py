"""Which architectures exist, and the `Network` of each: one file a space.

A module in this folder that defines `SPACES` (name -> what makes the space) is found here; nothing else has to change to add a
space (docs/spaces.md).
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Final

from naswot_ray.errors import SettingsError
from naswot_ray.spaces.base import Space

__all__ = ["SPACES", "Space", "check_name", "get_space", "open_spaces", "parameters_of"]

SPACES: Final[dict[str, Callable[..., Space]]] = {
    name: make
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__))
    for name, make in getattr(importlib.import_module(f"{__name__}.{module}"), "SPACES", {}).items()
}
"""Name -> what makes the space; its keyword arguments are the space's parameters."""

_COMPARED_CHARACTERS: Final = 80
"""How much of an unknown name is shown and compared; comparing takes quadratic time."""


def check_name(name: str) -> None:
    """Refuse a name that no space has.

    Raises:
        SettingsError: names some of the spaces there are.
    """
    if name not in SPACES:
        shown = name[:_COMPARED_CHARACTERS]
        near = difflib.get_close_matches(shown, SPACES, n=1)
        some = ", ".join(sorted(SPACES)[:4])
        raise SettingsError(
            f"unknown space {shown!r}; there are: {some}, ... (`naswot-ray spaces` lists all {len(SPACES)})"
            f"{f'; did you mean {near[0]}?' if near else ''}"
        )


def parameters_of(name: str) -> dict[str, Any]:
    """The parameters of a space and their defaults.

    Raises:
        SettingsError: no space has that name.
    """
    check_name(name)
    return {key: parameter.default for key, parameter in inspect.signature(SPACES[name]).parameters.items()}


@cache
def get_space(name: str, **parameters: Any) -> Space:
    """The space called `name`, one object per process and parameters.

    Args:
        name: a key of `SPACES`.
        parameters: of the space, such as `stem_channels=128` of nasbench101; see each space.

    Raises:
        SettingsError: no space has that name, or it has no such parameter.
    """
    known = parameters_of(name)
    for parameter in parameters:
        if parameter not in known:
            raise SettingsError(f"{name} has no parameter {parameter!r}; it has: {', '.join(known) or 'none'}")
    return SPACES[name](**parameters)


def open_spaces(names: Sequence[str], options: Iterable[str] = ()) -> dict[str, Space]:
    """The spaces of a run.

    Args:
        names: keys of `SPACES`.
        options: entries `PARAMETER=VALUE`; each goes to every space that has the parameter.

    Raises:
        SettingsError: an unknown space, an entry that is malformed or that none of the spaces takes.
    """
    parameters: dict[str, dict[str, Any]] = {name: {} for name in names}
    for name in names:
        check_name(name)
    for entry in options:
        parameter, equals, text = entry.partition("=")
        if not equals:
            raise SettingsError(f"--space-option {entry!r}: expected PARAMETER=VALUE, as in stem_channels=128")
        takers = [name for name in names if parameter in parameters_of(name)]
        if not takers:
            known = sorted({key for name in names for key in parameters_of(name)})
            raise SettingsError(
                f"--space-option {entry!r}: {' and '.join(names)} take{'s' if len(names) == 1 else ''} "
                f"{', '.join(known) if known else 'no parameters'}"
            )
        for name in takers:
            parameters[name][parameter] = _value(entry, name, parameter, text)
    return {name: get_space(name, **parameters[name]) for name in names}


def _value(entry: str, name: str, parameter: str, text: str) -> int | str:
    kind = inspect.signature(SPACES[name], eval_str=True).parameters[parameter].annotation
    if kind is not int:
        return text
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"--space-option {entry!r}: expected a whole number after '='") from None
