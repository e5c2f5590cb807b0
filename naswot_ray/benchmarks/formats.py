"""The known formats of accuracies, and the choice of the one that a file has.

Every module in this folder that holds a `Format` is found automatically. So are formats that other installed packages offer
under the entry point group `naswot_ray.benchmarks` (docs/adding-a-format.md).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from naswot_ray import benchmarks
from naswot_ray.benchmarks import table
from naswot_ray.benchmarks.format import Format
from naswot_ray.benchmarks.members import Members
from naswot_ray.benchmarks.sources import ReadProgress, no_progress
from naswot_ray.benchmarks.table import read_table
from naswot_ray.dataset.accuracies import AccuracyTable
from naswot_ray.errors import BenchmarkError, SettingsError
from naswot_ray.registry import modules_of, offered
from naswot_ray.regular_file import check_regular

ENTRY_POINTS: Final = "naswot_ray.benchmarks"

_LISTED_SPACES: Final = 3
"""How many spaces a message names."""


@cache
def all_formats() -> dict[str, Format]:
    """The formats of official files by name: those of this package, then those of other installed packages.

    Raises:
        SettingsError: an entry point cannot be imported, is not a format, or has a name that is taken.
    """
    ours = (value for module in modules_of(benchmarks) for value in vars(module).values() if isinstance(value, Format))
    found = {one.name: one for one in ours}
    for name, value in offered(ENTRY_POINTS):
        if not isinstance(value, Format):
            raise SettingsError(f"{ENTRY_POINTS} {name!r}: expected a format, found {type(value).__name__}")
        if value.name in found:
            raise SettingsError(f"{ENTRY_POINTS} {name!r}: there is a format {value.name} already; give it another name")
        found[value.name] = value
    return found


def read_accuracies(
    space: str,
    path: Path,
    mapping: Sequence[str] = (),
    progress: ReadProgress = no_progress,
    members: Members | None = None,
) -> AccuracyTable:
    """Read the trained accuracies of a space.

    Args:
        space: the space whose architectures they belong to.
        path: an official file or directory in one of `all_formats()`, or a .parquet or .csv table.
        mapping: which columns of a table are accuracies; see `naswot_ray.benchmarks.table`.
        progress: called while a large file is read.
        members: the architectures of the space. Rows of others are refused while they are read. None accepts all.

    Raises:
        BenchmarkError: the file cannot be read in any of these formats, or belongs to another space.
        SettingsError: the mapping is malformed, or the file is not a table.
    """
    if not path.exists():
        raise BenchmarkError(f"{path} does not exist")
    try:
        if not path.is_dir():
            check_regular(path)
        if path.suffix in table.SUFFIXES and path.is_file():
            return read_table(space, path, mapping, members)
        chosen = _format_of(path, space)
        if mapping:
            raise SettingsError(f"--map is for tables; {path} is an official file of {space}")
        accuracies = chosen.read(path, space, progress)
    except OSError as error:
        raise BenchmarkError(f"{error.filename or path} cannot be read: {error.strerror or error}") from error
    return accuracies if members is None else replace(accuracies, batches=members.checked(path, accuracies.batches))


def told_space(path: Path) -> str | None:
    """The space of an official file, as far as its name and kind tell; None if they do not.

    Raises:
        BenchmarkError: it has the form of a benchmark's file, but no official file has its name.
    """
    found = {space for one in all_formats().values() if one.recognises(path) for space in one.spaces_in(path)}
    return found.pop() if len(found) == 1 else None


def _format_of(path: Path, space: str) -> Format:
    """The format of a file that should hold accuracies of a space.

    Raises:
        BenchmarkError: no format or several formats fit, or the file holds accuracies of other spaces.
    """
    candidates = {one.name: one.spaces_in(path) for one in all_formats().values() if one.recognises(path)}
    if not candidates:
        kinds = [f"{one.file} ({one.holds})" for one in all_formats().values()]
        raise BenchmarkError(f"{path}: expected {', '.join(kinds)}, or a .parquet or .csv table")
    chosen = [name for name, spaces in candidates.items() if space in spaces]
    if len(chosen) > 1:
        raise BenchmarkError(f"{path} could be of several formats: {', '.join(chosen)}; rename it as one of them asks")
    if not chosen:
        found = _listed({space for spaces in candidates.values() for space in spaces})
        raise BenchmarkError(f"{path} holds accuracies of {found}, not of {space}")
    return all_formats()[chosen[0]]


def _listed(spaces: Collection[str]) -> str:
    names = sorted(spaces)
    if len(names) <= _LISTED_SPACES:
        return " and ".join(names) or "no known space"
    return f"{', '.join(names[:_LISTED_SPACES])} and {len(names) - _LISTED_SPACES} more spaces"
