"""Reads and checks a file of accuracies that the user has named, so that a dataset can take it over."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from naswot_ray.benchmarks.formats import read_accuracies
from naswot_ray.benchmarks.members import Members
from naswot_ray.benchmarks.sources import ReadProgress
from naswot_ray.dataset.accuracies import StagedAccuracies, stage
from naswot_ray.dataset.inputs import local_path
from naswot_ray.errors import BenchmarkError


def staged_accuracies(
    space: str,
    source: str | os.PathLike[str],
    mapping: Sequence[str],
    members: Callable[[], Members],
    progress_of: Callable[[str], ReadProgress],
) -> StagedAccuracies:
    """Read a file of accuracies and check that every row belongs to a known architecture.

    Args:
        space: the space whose architectures the accuracies belong to.
        source: a local path or a URI; see `read_accuracies` for the kinds of files.
        mapping: which columns of a table are accuracies; see `naswot_ray.benchmarks.table`.
        members: returns the architectures of the space. It is called when the file is there, because opening a space takes
            time.
        progress_of: returns the progress callback for downloading or reading a file of this name.

    Returns:
        the accuracies. Their warnings begin with what could not be checked.

    Raises:
        BenchmarkError: the file does not exist, is damaged, or belongs to another space.
        SettingsError: the mapping is malformed, or the file is not a table.
        FetchError: the URI cannot be read.
    """
    path = local_path(source, progress_of(os.fspath(source)))
    if not path.exists():
        raise BenchmarkError(f"{path} does not exist")
    known = members()
    staged = stage(read_accuracies(space, path, mapping, progress_of(path.name), known))
    return replace(staged, warnings=(*([known.note] if known.note else []), *staged.warnings))
