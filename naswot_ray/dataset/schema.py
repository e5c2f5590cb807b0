"""The one place that fixes the columns and types of every file in a dataset. docs/dataset.md explains them to readers."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

SCHEMA_VERSION: Final = "4.0"
"""major.minor: columns are added in minor versions; a dataset of another major version is refused."""

STATUS_OK: Final = "ok"
STATUS_SINGULAR: Final = "singular"
STATUS_FAILED: Final = "failed"


def _required(name: str, type_: pa.DataType) -> pa.Field:
    return pa.field(name, type_, nullable=False)


SCORES: Final = pa.schema(
    [
        _required("space", pa.string()),
        _required("arch_id", pa.string()),
        _required("arch_index", pa.int32()),
        _required("images", pa.string()),
        _required("batch_size", pa.int32()),
        _required("seed", pa.int64()),
        pa.field("score", pa.float64()),
        pa.field("score_paper", pa.float64()),
        pa.field("num_units", pa.int64()),
        _required("status", pa.string()),
        pa.field("error", pa.string()),
        _required("engine", pa.string()),
        _required("dtype", pa.string()),
        _required("device", pa.string()),
        _required("seconds", pa.float64()),
        _required("run_id", pa.string()),
    ]
)

SCORE_PROVENANCE: Final = ("engine", "dtype", "device", "seconds", "run_id")
"""Columns that tell how a row came to be. All others are the same whoever computes the row; scores of different engines agree
within their tolerance."""

ARCHITECTURES: Final = pa.schema(
    [
        _required("space", pa.string()),
        _required("arch_id", pa.string()),
        _required("arch_index", pa.int32()),
        pa.field("benchmark_index", pa.int32()),
        pa.field("architecture", pa.string()),
        pa.field("isomorphism_class", pa.string()),
        pa.field("params", pa.int64()),
        pa.field("flops", pa.int64()),
        pa.field("num_relus", pa.int32()),
        pa.field("num_layers", pa.int32()),
        _required("status", pa.string()),
        pa.field("error", pa.string()),
    ]
)

ACCURACIES: Final = pa.schema(
    [
        _required("space", pa.string()),
        _required("arch_id", pa.string()),
        _required("dataset", pa.string()),
        _required("split", pa.string()),
        _required("epochs", pa.int32()),
        pa.field("seed", pa.int64()),
        _required("accuracy", pa.float64()),
        pa.field("max_accuracy", pa.float64()),
        pa.field("num_repeats", pa.int32()),
        pa.field("training_seconds", pa.float64()),
        pa.field("params", pa.int64()),
        pa.field("flops", pa.int64()),
        pa.field("optimiser", pa.string()),
        _required("source_digest", pa.string()),
    ]
)

JOINED: Final = pa.schema(
    [
        *(SCORES.field(name) for name in ("space", "arch_id", "arch_index", "images", "batch_size", "seed")),
        *(SCORES.field(name) for name in ("score", "score_paper", "num_units", "status")),
        *(ARCHITECTURES.field(name) for name in ("params", "flops", "num_relus", "num_layers")),
        *(ACCURACIES.field(name) for name in ("dataset", "split", "epochs", "accuracy", "max_accuracy", "num_repeats")),
    ]
)

TABLES: Final = {"scores": SCORES, "architectures": ARCHITECTURES, "accuracies": ACCURACIES, "joined": JOINED}


def check_values(table: pa.Schema, values: Mapping[str, Any]) -> None:
    """Find a value that its column cannot hold, before writing it fails with all other rows of the file.

    Args:
        table: one of `TABLES`.
        values: by the names of columns.

    Raises:
        ValueError: a value is too large for its column, or of another type.
    """
    for name, value in values.items():
        column = table.field(name).type
        try:
            pa.scalar(value, column)
        except (pa.ArrowException, OverflowError, UnicodeError) as error:
            raise ValueError(f"{name} {reprlib.repr(value)} does not fit a column of {column}") from error


FILE_KEYS: Final = {
    "scores": ("space", "images", "batch_size", "seed"),
    "architectures": ("space",),
    "accuracies": ("space",),
    "joined": ("space",),
}
"""Columns that have one value in each file, which its name tells as well (`layout`)."""
