"""The measures, one file each. Needs neither torch nor Ray.

Every module in this folder that holds a `Measure` is found automatically. So are measures that other installed packages offer
under the entry point group `naswot_ray.measures` (docs/adding-a-measure.md).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from typing import Final

from naswot_ray.citation import Citation
from naswot_ray.errors import SettingsError
from naswot_ray.measures.measure import Bounds, Measure, Pass, Tolerance, measure
from naswot_ray.measures.statistics import ForwardPass, Statistic
from naswot_ray.registry import modules_of, nearest, offered

__all__ = [
    "DEFAULT_MEASURES",
    "Bounds",
    "Citation",
    "ForwardPass",
    "Measure",
    "Pass",
    "Statistic",
    "Tolerance",
    "all_measures",
    "get_measures",
    "measure",
    "own_measures",
]

ALL: Final = "all"
"""Stands for all measures wherever names of measures are expected."""

DEFAULT_MEASURES: Final = ("naswot", "naswot_paper")

ENTRY_POINTS: Final = "naswot_ray.measures"


@cache
def own_measures() -> dict[str, Measure]:
    """The measures of this package by name: the default ones first, then the others in alphabetical order.

    Raises:
        SettingsError: a file of the folder cannot be imported; the message names it.
    """
    found = {
        value.name: value
        for module in modules_of(sys.modules[__name__])
        for value in vars(module).values()
        if isinstance(value, Measure)
    }
    return {name: found[name] for name in sorted(found, key=lambda name: (name not in DEFAULT_MEASURES, name))}


@cache
def all_measures() -> dict[str, Measure]:
    """All measures by name: those of this package, then those of other installed packages.

    Raises:
        SettingsError: an entry point cannot be imported, is not a measure, or has a name that is taken.
    """
    found = dict(own_measures())
    for name, value in offered(ENTRY_POINTS):
        if not isinstance(value, Measure):
            raise SettingsError(f"{ENTRY_POINTS} {name!r}: expected a measure, found {type(value).__name__}")
        if value.name in found:
            raise SettingsError(f"{ENTRY_POINTS} {name!r}: there is a measure {value.name} already; give it another name")
        found[value.name] = value
    return found


def get_measures(names: Iterable[str]) -> tuple[Measure, ...]:
    """The measures with these names, each once, in the order of `all_measures`.

    Args:
        names: names of measures, or `all`.

    Raises:
        SettingsError: a name is unknown (the message suggests the nearest one), or there are no names.
    """
    known, wanted = all_measures(), set(names)
    for name in wanted - {ALL, *known}:
        raise SettingsError(f"unknown measure {name[:80]!r}; there are: {', '.join(known)}{nearest(name, known)}")
    if not wanted:
        raise SettingsError(f"no measure: expected one of {', '.join(known)}, or {ALL}")
    return tuple(one for name, one in known.items() if name in wanted or ALL in wanted)
