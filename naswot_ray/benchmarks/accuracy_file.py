"""A file of accuracies that somebody named, read to its end: what a dataset can take over."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from naswot_ray.benchmarks.formats import read_accuracies
from naswot_ray.benchmarks.members import Members
from naswot_ray.benchmarks.sources import Progress
from naswot_ray.dataset.accuracies import StagedAccuracies, stage
from naswot_ray.dataset.inputs import local_path
from naswot_ray.errors import BenchmarkError


def staged_accuracies(
    space: str,
    source: str | os.PathLike[str],
    mapping: Sequence[str],
    members: Callable[[], Members],
    progress_of: Callable[[str], Progress],
) -> StagedAccuracies:
    """Read a file of accuracies and check that every row belongs to a known architecture.

    Args:
        space: which architectures the accuracies belong to.
        source: a local path or a URI; see `read_accuracies` for what it may hold.
        mapping: of a table's columns, see `naswot_ray.benchmarks.table`.
        members: gives the architectures of the space; called once the file is there, since opening a space takes time.
        progress_of: gives the progress of downloading or reading what has this name.

    Returns:
        the accuracies; their warnings begin with what `members` could not check.

    Raises:
        BenchmarkError: the file does not exist, is damaged, or is of another space.
        SettingsError: a mapping that is malformed or has no use.
        FetchError: a URI cannot be read.
    """
    path = local_path(source, progress_of(os.fspath(source)))
    if not path.exists():
        raise BenchmarkError(f"{path} does not exist")
    known = members()
    staged = stage(read_accuracies(space, path, mapping, progress_of(path.name), known))
    return replace(staged, warnings=(*([known.note] if known.note else []), *staged.warnings))
