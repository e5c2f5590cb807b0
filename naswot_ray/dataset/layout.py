"""Every path inside a dataset, relative to its root. Nothing else in the package spells one."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import quote, unquote

MANIFEST = PurePosixPath("dataset.json")
RUNS = PurePosixPath("runs")
RECEIPTS = PurePosixPath("receipts")
UNMATCHED = "unmatched.csv"

_TEMPORARY = re.compile(r"\..+\.tmp")
_PART = re.compile(r"part-(\d{6,})\.parquet")
_LOCK = re.compile(r"\..+\.lock")


def scores(space: str, images: str, batch_size: int, seed: int) -> PurePosixPath:
    """The folder of the score parts of one point of the grid."""
    return _folder("scores", space=space, images=images, batch_size=batch_size, seed=seed)


def architectures(space: str) -> PurePosixPath:
    """The folder of a space's architecture parts."""
    return _folder("architectures", space=space)


def accuracies(space: str, source: str) -> PurePosixPath:
    """The file of the accuracies read from one source."""
    # No leading dot: readers skip hidden files.
    return _folder("accuracies", space=space) / f"{quote(source, safe='').lstrip('.')}.parquet"


def joined(space: str, images: str, batch_size: int, seed: int) -> PurePosixPath:
    """The file of the joined rows of one point of the grid."""
    return _folder("joined", space=space) / f"{quote(images, safe='')}-{batch_size}-{seed}.parquet"


def unmatched(space: str) -> PurePosixPath:
    """The list of architectures that a join found on one side only."""
    return _folder("joined", space=space) / UNMATCHED


def run_record(run_id: str) -> PurePosixPath:
    """The file of a run's record."""
    return RUNS / f"{run_id}.json"


def receipts(run_id: str, number: int) -> PurePosixPath:
    """A file of what a run's driver was told of the parts written."""
    return RECEIPTS / f"{run_id}-{number:06d}.parquet"


def part(folder: PurePosixPath, number: int) -> PurePosixPath:
    """The part file of the shard with this number."""
    return folder / f"part-{number:06d}.parquet"


def part_number(name: str) -> int | None:
    """The number of the shard whose part has this file name; None if it is no part's."""
    match = _PART.fullmatch(name)
    return int(match[1]) if match else None


def temporary(path: PurePosixPath, token: str) -> PurePosixPath:
    """Where a file is written before it is renamed; readers skip names that begin with a dot."""
    return path.with_name(f".{path.name}.{token}.tmp")


def is_temporary(name: str) -> bool:
    """Whether a file name is one of `temporary`."""
    return _TEMPORARY.fullmatch(name) is not None


def lock(path: PurePosixPath) -> PurePosixPath:
    """The file whose lock is a file's; hidden like `temporary`."""
    return path.with_name(f".{path.name}.lock")


def is_lock(name: str) -> bool:
    """Whether a file name is one of `lock`."""
    return _LOCK.fullmatch(name) is not None


def partition_of(path: PurePosixPath) -> dict[str, str]:
    """The column values that name a file's folders."""
    keys = (part.partition("=") for part in path.parent.parts)
    return {key: unquote(value) for key, equals, value in keys if equals}


def _folder(table: str, **partition: str | int) -> PurePosixPath:
    # Hive style: name=value with the value percent-encoded, as Arrow, DuckDB and Spark read it.
    return PurePosixPath(table, *(f"{key}={quote(str(value), safe='')}" for key, value in partition.items()))
