"""The search spaces: which architectures exist, and the `Network` of each. One file a space.

Every module in this folder that defines `SPACES` (name -> what makes the space) is found automatically. So are spaces that
other installed packages offer under the entry point group `naswot_ray.spaces`. To add a space, nothing else has to change
(docs/adding-a-space.md).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Final

from naswot_ray.citation import Citation
from naswot_ray.errors import SettingsError
from naswot_ray.registry import modules_of, nearest, offered
from naswot_ray.spaces.base import Space
from naswot_ray.spaces.facts import Facts

__all__ = [
    "Citation",
    "Facts",
    "Space",
    "SpaceMaker",
    "all_spaces",
    "check_name",
    "facts_of",
    "get_space",
    "open_spaces",
    "parameters_of",
]

SpaceMaker = Callable[..., Space]
"""A callable that makes a space, usually the class of the space. Its keyword arguments are the parameters of the space. Its
attribute `facts`, if it has one, describes the space before it is made."""

ENTRY_POINTS: Final = "naswot_ray.spaces"

_SHOWN_CHARACTERS: Final = 80
"""How many characters of an unknown name an error message shows."""


@cache
def all_spaces() -> dict[str, SpaceMaker]:
    """What makes each space, by name: those of this package, then those of other installed packages.

    Raises:
        SettingsError: an entry point cannot be imported, is not callable, or has a name that is taken.
    """
    found: dict[str, SpaceMaker] = {}
    for module in modules_of(sys.modules[__name__]):
        found |= getattr(module, "SPACES", {})
    for name, make in offered(ENTRY_POINTS):
        if not callable(make):
            raise SettingsError(f"{ENTRY_POINTS} {name!r}: expected a class of a space, found {type(make).__name__}")
        if name in found:
            raise SettingsError(f"{ENTRY_POINTS} {name!r}: there is a space {name} already; give it another name")
        found[name] = make
    return found


def check_name(name: str) -> None:
    """Refuse a name that no space has.

    Raises:
        SettingsError: there is no such space; the message names some that there are.
    """
    known = all_spaces()
    if name not in known:
        raise SettingsError(
            f"unknown space {name[:_SHOWN_CHARACTERS]!r}; there are: {', '.join(sorted(known)[:4])}, ... "
            f"(`naswot-ray spaces` lists all {len(known)}){nearest(name, known)}"
        )


def facts_of(name: str) -> Facts:
    """What is known about a space before it is opened. If nothing is known, or it is not installed, its name is its title."""
    return getattr(all_spaces().get(name), "facts", None) or Facts(title=name)


def parameters_of(name: str) -> dict[str, Any]:
    """The parameters of a space and their defaults; the default is `inspect.Parameter.empty` if a value has to be given.

    Raises:
        SettingsError: no space has that name.
    """
    check_name(name)
    return {key: parameter.default for key, parameter in inspect.signature(all_spaces()[name]).parameters.items()}


@cache
def get_space(name: str, **parameters: Any) -> Space:
    """The space called `name`. The same name and parameters give the same object within a process.

    Args:
        name: a key of `all_spaces()`.
        parameters: parameters of the space, such as `stem_channels=128` for nasbench101; each space documents its own.

    Raises:
        SettingsError: no space has that name; the space has no such parameter, or needs one that is not given; or the entry
            point of another package does not make a space of that name.
    """
    known = parameters_of(name)
    for parameter in parameters:
        if parameter not in known:
            raise SettingsError(f"{name} has no parameter {parameter!r}; it has: {', '.join(known) or 'none'}")
    for parameter, default in known.items():
        if default is inspect.Parameter.empty and parameter not in parameters:
            raise SettingsError(f"{name} needs a parameter: --space-option {parameter}=VALUE")
    space = all_spaces()[name](**parameters)
    if not isinstance(space, Space) or space.name != name:
        found = f"one called {space.name!r}" if isinstance(space, Space) else f"a {type(space).__name__}"
        raise SettingsError(f"{ENTRY_POINTS} {name!r}: expected a space of that name, it makes {found}")
    return space


def open_spaces(names: Sequence[str], options: Iterable[str] = ()) -> dict[str, Space]:
    """Open the spaces of a run.

    Args:
        names: keys of `all_spaces()`.
        options: entries `PARAMETER=VALUE`; each applies to every space that has the parameter.

    Raises:
        SettingsError: a space is unknown, or an entry is malformed or names a parameter that none of the spaces has.
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
    kind = inspect.signature(all_spaces()[name], eval_str=True).parameters[parameter].annotation
    if kind is not int:
        return text
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"--space-option {entry!r}: expected a whole number after '='") from None
