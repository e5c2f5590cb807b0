"""Which architectures exist, and the `Network` of each: one file a space."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

from naswot_ray.errors import SettingsError
from naswot_ray.spaces.base import Space
from naswot_ray.spaces.nasbench201 import NasBench201

__all__ = ["SPACES", "Space", "get_space"]

SPACES: Final[dict[str, Callable[[], Space]]] = {cls.name: cls for cls in (NasBench201,)}


@cache
def get_space(name: str) -> Space:
    """The space called `name`, one object per process.

    Raises:
        SettingsError: no space has that name.
    """
    if name not in SPACES:
        raise SettingsError(f"unknown space {name!r}; there are: {', '.join(sorted(SPACES))}")
    return SPACES[name]()
