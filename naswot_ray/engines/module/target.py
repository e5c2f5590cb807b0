"""`load_module`: a module that the command line names, as in `networks.py:make` or `torchvision.models:resnet18`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import random
import sys
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

import numpy as np
import torch
from torch import nn

from naswot_ray.errors import SettingsError

_MAX_LISTED: Final = 12
"""How many names a message lists."""

Result = TypeVar("Result")


def load_module(target: str, seed: int) -> nn.Module:
    """Import the function, class or `nn.Module` that a target names, and get the module from it.

    Modules of the current folder can be imported, as with `python -m`, and those beside a file, as with `python FILE`. The
    random numbers of torch, NumPy and `random` are seeded before the import and again before the call.

    Args:
        target: `PACKAGE.MODULE:NAME` or `FILE.py:NAME`. A function or class is called without arguments. A `NAME` may have
            dots, as in `Factory.make`.
        seed: random seed of the weights.

    Raises:
        SettingsError: there is no such file, module or name; importing or calling it raises; the result is no `nn.Module`.
    """
    place, colon, name = target.rpartition(":")
    if not (colon and place and name):
        raise SettingsError(
            f"{target}: expected MODULE:FUNCTION or FILE.py:FUNCTION, as in torchvision.models:resnet18 or networks.py:make"
        )
    seed_random_numbers(seed)
    source = _imported(place)
    found: Any = source
    for part in name.split("."):
        found = _attribute(found, part, place if found is source else f"{place}:{name.partition('.' + part)[0]}")
    if not isinstance(found, nn.Module):
        if not callable(found):
            raise SettingsError(f"{target} is {_described(found)}; expected a function, a class or a torch.nn.Module")
        seed_random_numbers(seed)
        found = _told(f"{target} raised", found)
    if not isinstance(found, nn.Module):
        raise SettingsError(f"{target} gave {_described(found)}; expected a torch.nn.Module")
    return found


def seed_random_numbers(seed: int) -> None:
    """Seed all generators that networks draw their weights from."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def describe_error(error: BaseException) -> str:
    """An exception in one line, with the last place that it passed through outside of torch and this package."""
    text = " ".join(str(error).split())
    places = [
        f" ({Path(frame.f_code.co_filename).name}, line {line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in ("torch", "naswot_ray", "importlib")
    ]
    return f"{type(error).__name__}{': ' if text else ''}{text}{places[-1] if places else ''}"


def _imported(place: str) -> ModuleType:
    """Import a module by its name, or by the path of its file."""
    if place.endswith(".py"):
        return _imported_file(Path(place))
    if os.sep in place:
        raise SettingsError(f"{place}: expected the dotted name of a module, as in package.module, or a file that ends in .py")
    sys.path.insert(0, str(Path.cwd()))
    try:
        return _told(f"importing {place} raised", lambda: importlib.import_module(place))
    except SettingsError as error:
        absent = error.__cause__
        if isinstance(absent, ModuleNotFoundError) and f"{place}.".startswith(f"{absent.name}."):
            raise SettingsError(
                f"there is no module {absent.name}, neither in {Path.cwd()} nor among the installed packages"
            ) from None
        raise


def _imported_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise SettingsError(f"{path}: there is no such file")
    name = path.stem
    if name in sys.modules or name in sys.stdlib_module_names:
        raise SettingsError(f"{path}: another module is called {name} already; rename this file")
    sys.path.insert(0, str(path.parent.absolute()))
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    assert spec is not None
    assert spec.loader is not None
    loader, found = spec.loader, importlib.util.module_from_spec(spec)
    sys.modules[name] = found  # classes look their own module up
    try:
        _told(f"importing {path} raised", lambda: loader.exec_module(found))
    except SettingsError:
        del sys.modules[name]
        raise
    return found


def _attribute(owner: Any, name: str, called: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        names = [one for one, value in vars(owner).items() if not one.startswith("_") and callable(value)]
        own = [one for one in names if getattr(vars(owner)[one], "__module__", None) == getattr(owner, "__name__", None)]
        names = get_close_matches(name, names, n=3) or own or names
        more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
        raise SettingsError(
            f"{called} has no {name}; it has: {', '.join(names[:_MAX_LISTED]) or 'no function'}{more}"
        ) from None


def _told(what: str, call: Callable[[], Result]) -> Result:
    """Call what others wrote.

    Raises:
        SettingsError: it raised, or ended the process, in which case a guard `if __name__ == "__main__"` is missing.
    """
    try:
        return call()
    except (Exception, SystemExit) as error:
        raise SettingsError(f"{what} {describe_error(error)}") from error


def _described(value: Any) -> str:
    """A value that is no module, in a few words."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"of type {type(value).__name__}"
