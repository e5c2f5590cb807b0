"""Which reader a file of accuracies is for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from naswot_ray.benchmarks import table
from naswot_ray.benchmarks.nats import is_nats_directory, read_nats
from naswot_ray.benchmarks.table import read_table
from naswot_ray.dataset.accuracies import AccuracyTable
from naswot_ray.errors import BenchmarkError, SettingsError


def read_accuracies(space: str, path: Path, mapping: Sequence[str] = ()) -> AccuracyTable:
    """Read the trained accuracies of a space.

    Args:
        space: which architectures they belong to.
        path: an unpacked NATS-Bench archive (`NATS-tss-...-simple`), or a .parquet or .csv table.
        mapping: of a table's columns, see `naswot_ray.benchmarks.table`.

    Raises:
        BenchmarkError: not readable as one of these, or of another space.
        SettingsError: a mapping that is malformed or has no use.
    """
    if not path.exists():
        raise BenchmarkError(f"{path} does not exist")
    if path.suffix in table.SUFFIXES and path.is_file():
        return read_table(space, path, mapping)
    if not is_nats_directory(path):
        raise BenchmarkError(
            f"{path}: expected a NATS-tss-...-simple directory with a meta.pickle.pbz2, or a .parquet or .csv file"
        )
    if mapping:
        raise SettingsError(f"--map is for tables; {path} is a NATS-Bench directory")
    accuracies = read_nats(path)
    if accuracies.space != space:
        raise BenchmarkError(f"{path} holds accuracies of {accuracies.space}, not of {space}")
    return accuracies
