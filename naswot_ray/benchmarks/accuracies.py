"""An accuracy table: trained accuracies of one space, read from one source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from naswot_ray.dataset.schema import ACCURACIES


@dataclass(frozen=True)
class AccuracyTable:
    """Accuracies of a space.

    Attributes:
        space: which architectures they belong to.
        source: name of the file or directory they came from.
        digest: SHA-256 of its content.
        table: rows of `schema.ACCURACIES`; rows with a null seed are means over repeats.
    """

    space: str
    source: str
    digest: str
    table: pa.Table


def make_table(space: str, digest: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Accuracy rows as a table of `schema.ACCURACIES`; columns a row leaves out are null."""
    return pa.Table.from_pylist([{"space": space, "source_digest": digest, **row} for row in rows], schema=ACCURACIES)


def percentage(value: Any) -> float:
    """An accuracy as a source gives it.

    Raises:
        ValueError: not a number from 0 to 100.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
        raise ValueError(f"expected a percentage from 0 to 100, found {value!r}")
    return float(value)


def digest_of(paths: Iterable[Path]) -> str:
    """SHA-256 of one file; of the names and digests of several.

    Raises:
        OSError: one of them cannot be read.
    """
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    if len(digests) == 1:
        return digests[0][1]
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in digests).encode()).hexdigest()
