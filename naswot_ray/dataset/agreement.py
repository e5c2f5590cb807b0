"""Checks that a dataset's files agree with each other.

No label may have accuracies in two files, and joined rows must be those that their scores, architectures and accuracies give.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import PurePosixPath

from naswot_ray.dataset import layout
from naswot_ray.dataset.accuracies import labels_of
from naswot_ray.dataset.check import Kind, Problem
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import TABLES, joined_rows, stale_joins, unfinished_joins
from naswot_ray.dataset.label import Label


def check_agreement(dataset: Dataset, faulty: Collection[PurePosixPath]) -> list[Problem]:
    """Find the problems that no file shows by itself.

    Tables with faulty files are not checked, nor are tables made from them.

    Args:
        dataset: the dataset.
        faulty: files in which problems have been found already.

    Raises:
        DatasetError: a file was damaged after it had been checked.
    """
    problems = []
    tables = {path.parts[0] for path in faulty if layout.table_file(path) is not None}
    if "accuracies" not in tables:
        problems += _check_accuracies(dataset)
    if "joined" not in tables:
        again = f"run `naswot-ray join {shlex.quote(dataset.storage.root)}` again"
        for space, what in unfinished_joins(dataset).items():
            problems.append(Problem(Kind.INCOMPLETE, layout.JOINED, f"{what} of {space}: {again}"))
        if tables.isdisjoint(TABLES):
            stale = stale_joins(dataset)
            problems += [Problem(Kind.OUTDATED, one.path, f"{one.reason}: {again}") for one in stale]
            problems += _check_joined_rows(dataset, {one.path for one in stale}, again)
    return problems


def _check_accuracies(dataset: Dataset) -> list[Problem]:
    """Find files that hold accuracies of the same label, so that results would depend on which is read first."""
    problems = []
    homes: dict[tuple[str, Label], PurePosixPath] = {}
    for file in dataset.files("accuracies"):
        named = layout.table_file(file.path)
        assert named is not None
        for label in sorted(labels_of(dataset, file.path)):
            home = homes.setdefault((named.space, label), file.path)
            if home != file.path:
                reason = f"holds {label} accuracies, and so does {home}: move one of them away"
                problems.append(Problem(Kind.DUPLICATE, file.path, reason))
                break
    return problems


def _check_joined_rows(dataset: Dataset, stale: Collection[PurePosixPath], again: str) -> list[Problem]:
    """Find joined files that are up to date by their metadata but hold other rows than a join would give."""
    problems = []
    current = [file.path for file in dataset.files("joined") if file.path not in stale]
    if not current:
        return []
    with dataset.naming_damaged_files(), dataset.connect(TABLES) as connection:
        for path in current:
            named = layout.table_file(path)
            assert named is not None
            rows = joined_rows(
                connection, dataset.measures, named.space, named.images or "", named.batch_size or 0, named.seed or 0
            )
            with dataset.storage.open_parquet(path) as file:
                if not file.read().equals(rows):
                    reason = f"holds other rows than the scores, architectures and accuracies give: {again}"
                    problems.append(Problem(Kind.CORRUPT, path, reason, removable=True))
    return problems
