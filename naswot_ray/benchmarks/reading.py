"""Which reader a file of accuracies is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from naswot_ray.benchmarks import nasbench101, nasbench201, table
from naswot_ray.benchmarks.members import Members
from naswot_ray.benchmarks.nasbench101 import read_nasbench101
from naswot_ray.benchmarks.nasbench201 import read_nasbench201
from naswot_ray.benchmarks.nats import is_nats_directory, is_nats_file, nats_space, read_nats, read_nats_file
from naswot_ray.benchmarks.nds import read_nds
from naswot_ray.benchmarks.sources import Progress, no_progress
from naswot_ray.benchmarks.table import read_table
from naswot_ray.dataset.accuracies import AccuracyTable
from naswot_ray.errors import BenchmarkError, SettingsError
from naswot_ray.fetch.catalogue import known_digest
from naswot_ray.regular_file import check_regular
from naswot_ray.spaces import nds_file
from naswot_ray.spaces.nds_families import FAMILIES


def read_accuracies(
    space: str,
    path: Path,
    mapping: Sequence[str] = (),
    progress: Progress = no_progress,
    members: Members | None = None,
) -> AccuracyTable:
    """Read the trained accuracies of a space.

    Args:
        space: which architectures they belong to.
        path: an unpacked NATS-Bench archive (`NATS-tss-...-simple`) or its whole file (`NATS-tss-....pickle.pbz2`),
            NAS-Bench-201's .pth, a .tfrecord file of NAS-Bench-101, NDS' data.zip or one family's .json, or a .parquet or
            .csv table.
        mapping: of a table's columns, see `naswot_ray.benchmarks.table`.
        progress: for readers of large files.
        members: of the space; rows of other architectures are refused as they are read. None takes all.

    Raises:
        BenchmarkError: not readable as one of these, or of another space.
        SettingsError: a mapping that is malformed or has no use.
    """
    if not path.exists():
        raise BenchmarkError(f"{path} does not exist")
    try:
        if not path.is_dir():
            check_regular(path)
        if path.suffix in table.SUFFIXES and path.is_file():
            return read_table(space, path, mapping, members)
        accuracies = _read_official(space, path, mapping, progress)
    except OSError as error:
        raise BenchmarkError(f"{error.filename or path} cannot be read: {error.strerror or error}") from error
    return accuracies if members is None else replace(accuracies, batches=members.checked(path, accuracies.batches))


def told_space(path: Path) -> str | None:
    """The space that an official file is of, by its name and kind; None where that does not tell."""
    if path.suffix == nasbench101.SUFFIX:
        return nasbench101.SPACE
    if path.suffix == nasbench201.SUFFIX:
        return nasbench201.SPACE
    if path.suffix in nds_file.SUFFIXES:
        return FAMILIES[path.stem].space if path.stem in FAMILIES else None
    return nats_space(path) if is_nats_directory(path) or is_nats_file(path) else None


def _read_official(space: str, path: Path, mapping: Sequence[str], progress: Progress) -> AccuracyTable:
    if path.is_file() and path.suffix == nasbench101.SUFFIX:
        _check(path, nasbench101.SPACE, space, mapping)
        _check_digest(path)
        return read_nasbench101(path, progress)
    families = [stem for stem, family in FAMILIES.items() if family.space == space]
    if path.is_file() and path.suffix in nds_file.SUFFIXES and families:
        _check(path, space, space, mapping)
        return read_nds(path, families[0])
    if path.is_file() and path.suffix == nasbench201.SUFFIX:
        _check(path, nasbench201.SPACE, space, mapping)
        return read_nasbench201(path, progress)
    if not is_nats_directory(path) and not is_nats_file(path):
        raise BenchmarkError(
            f"{path}: expected a NATS-...-simple directory with a meta.pickle.pbz2, a NATS-....pickle.pbz2 file, a .pth file "
            "(nasbench201), a .tfrecord file (nasbench101), a data.zip or .json file (nds_...), or a .parquet or .csv file"
        )
    _check(path, nats_space(path), space, mapping)
    return read_nats_file(path, progress) if path.is_file() else read_nats(path, progress)


def _check_digest(path: Path) -> None:
    """Refuse a file that has the name of an official one, and another content. (Other readers check the digits in a name.)"""
    digest = known_digest(path.name)
    try:
        difference = digest.difference(path) if digest else None
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read: {error.strerror}") from error
    if difference:
        raise BenchmarkError(f"{path} is not the official file of that name: {difference}; download it again, or rename it")


def _check(path: Path, holds: str, space: str, mapping: Sequence[str]) -> None:
    if holds != space:
        raise BenchmarkError(f"{path} holds accuracies of {holds}, not of {space}")
    if mapping:
        raise SettingsError(f"--map is for tables; {path} is an official file of {holds}")
