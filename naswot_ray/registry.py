"""Discovery of spaces, measures and formats: in the files of a folder, and in other installed packages.

Another package offers one by an entry point in its pyproject.toml, so that every process of a run finds it:

    [project.entry-points."naswot_ray.measures"]
    my_measure = "my_package.my_module:my_measure"
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Collection, Iterator
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from naswot_ray.errors import SettingsError

_COMPARED_CHARACTERS = 80
"""How many characters of an unknown name are shown and compared. Comparing takes quadratic time."""


def modules_of(package: ModuleType) -> Iterator[ModuleType]:
    """Import the modules in a package's folder, in the order of their names.

    Raises:
        SettingsError: one of them cannot be imported; the message names it.
    """
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        name = f"{package.__name__}.{info.name}"
        try:
            yield importlib.import_module(name)
        except Exception as error:  # a module may raise anything when it is imported
            raise SettingsError(f"{name} cannot be imported: {_told(error)}") from error


def offered(group: str) -> Iterator[tuple[str, Any]]:
    """Load the objects that other installed packages offer, as (name, object), in the order of their names.

    Args:
        group: the group of entry points, such as `naswot_ray.measures`.

    Raises:
        SettingsError: one of them cannot be imported; the message names it and its package.
    """
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            thing = entry.load()
        except Exception as error:  # a module may raise anything when it is imported
            package = f"package {entry.dist.name}" if entry.dist is not None else "an installed package"
            raise SettingsError(
                f"{entry.value}, which {package} offers as {group} {entry.name!r}, cannot be imported: {_told(error)}"
            ) from error
        yield entry.name, thing


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def nearest(name: str, known: Collection[str]) -> str:
    """The end of a message about an unknown name: `; did you mean X?` if a known name is similar, otherwise an empty text."""
    near = difflib.get_close_matches(name[:_COMPARED_CHARACTERS], known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
