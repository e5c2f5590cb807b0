"""The one place that fixes the columns of every file in a dataset: name, type and meaning.

docs/dataset.md, the card and the Croissant file of a publication are made from it.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from naswot_ray.errors import SettingsError
from naswot_ray.measures import all_measures

SCHEMA_VERSION: Final = "5.0"
"""major.minor: columns are added in minor versions; a dataset of another major version is refused."""

STATUS_OK: Final = "ok"
STATUS_SINGULAR: Final = "singular"
STATUS_FAILED: Final = "failed"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: of the column.
        type: of its values.
        meaning: one line.
        required: whether it is never null.
    """

    name: str
    type: pa.DataType
    meaning: str
    required: bool = False

    @property
    def field(self) -> pa.Field:
        """The column as a field of an Arrow schema."""
        return pa.field(self.name, self.type, nullable=not self.required)


def _required(name: str, type_: pa.DataType, meaning: str) -> Column:
    return Column(name, type_, meaning, required=True)


_KEY: Final = (
    _required("space", pa.string(), "search space"),
    _required(
        "arch_id",
        pa.string(),
        "the benchmark's own key of the architecture: arch string, module hash, channel string, or index and digest",
    ),
    _required("arch_index", pa.int32(), "position in the space's order"),
)

_BATCH: Final = (
    _required(
        "images", pa.string(), "image source: noise, cifar10, cifar100 or imagenet16-120, with the size behind it if enlarged"
    ),
    _required("batch_size", pa.int32(), "N, the number of images"),
    _required("seed", pa.int64(), "of the weights and of the batch"),
)

_NUM_UNITS: Final = Column("num_units", pa.int64(), "N_A: live ReLU units with their published multiplicities")

_STATUS: Final = _required(
    "status",
    pa.string(),
    "ok, singular (two images cannot be told apart: a value is -inf) or failed (no measure has a value)",
)

_PROVENANCE: Final = (
    _required(
        "engine",
        pa.string(),
        "what computed it: exact, fast or cuda, joined by + where several did; none if no worker survived it",
    ),
    _required("dtype", pa.string(), "precision of the forward pass"),
    _required("device", pa.string(), "cpu or cuda; none likewise"),
    _required("seconds", pa.float64(), "time that this row took"),
    _required("run_id", pa.string(), "the run that wrote the row last; see its record"),
)

SCORE_PROVENANCE: Final = tuple(column.name for column in _PROVENANCE)
"""Columns that tell how a row came to be. All others are the same whoever computes the row; values of different engines agree
within their tolerance."""

_BASELINES: Final = (
    Column("params", pa.int64(), "trainable parameters of the network as the benchmark trained it"),
    Column("flops", pa.int64(), "multiply-accumulates of convolutions and linear layers, plus one per bias"),
    Column("num_relus", pa.int32(), "ReLU layers that the output depends on, each once"),
    Column("num_layers", pa.int32(), "convolutions and linear layers"),
)

BASELINES: Final = tuple(column.name for column in _BASELINES)
"""Columns that a measure has to beat."""

_ARCHITECTURES: Final = (
    *_KEY,
    Column("benchmark_index", pa.int32(), "position in the benchmark's own order, where it has one"),
    Column("architecture", pa.string(), "the architecture itself, in the benchmark's notation"),
    Column("isomorphism_class", pa.string(), "key of the architectures with the same cell under renaming"),
    *_BASELINES,
    _required("status", pa.string(), "ok, or failed where the network could not be built"),
    Column("error", pa.string(), "why; null otherwise"),
)

_LABEL: Final = (
    _required("dataset", pa.string(), "what it was trained on"),
    _required("split", pa.string(), "valid, test or valtest, as the benchmark names them"),
    _required("epochs", pa.int32(), "length of the training"),
)

_ACCURACY: Final = _required("accuracy", pa.float64(), "percent; where seed is null, the mean over repeats")

_REPEATS: Final = (
    Column("max_accuracy", pa.float64(), "beside a mean: the best repeat"),
    Column("num_repeats", pa.int32(), "repeats in a mean, where the source tells"),
)

_ACCURACIES: Final = (
    *_KEY[:2],
    *_LABEL,
    Column("seed", pa.int64(), "of one repeat; null for the mean over repeats"),
    _ACCURACY,
    *_REPEATS,
    Column("training_seconds", pa.float64(), "time that the training took, where the source tells"),
    Column("params", pa.int64(), "of the trained network, as the source tells"),
    Column("flops", pa.int64(), "of the trained network, as the source tells"),
    Column("optimiser", pa.string(), "the training's settings as JSON, where they differ from architecture to architecture"),
    _required("source_digest", pa.string(), "SHA-256 of the file it was read from"),
)

TABLES: Final = {
    "scores": "a row per architecture, image source, batch size and seed",
    "architectures": "a row per architecture, with the baselines that a measure has to beat",
    "accuracies": "trained accuracies from the benchmark's file",
    "joined": "scores, baselines and mean accuracies: a row per score row and (dataset, split, epochs)",
}
"""Table -> what its rows are."""

FILE_KEYS: Final = {
    "scores": ("space", "images", "batch_size", "seed"),
    "architectures": ("space",),
    "accuracies": ("space",),
    "joined": ("space",),
}
"""Columns that have one value in each file, which its name tells as well (`layout`)."""


def columns_of(table: str, measures: Iterable[str]) -> tuple[Column, ...]:
    """The columns of a table, in their order.

    Args:
        table: one of `TABLES`.
        measures: those that the dataset has columns of (`Dataset.measures`).
    """
    return _columns_of(table, [Column(name, pa.float64(), _meaning_of(name)) for name in measures])


def schema_of(table: str, measures: Iterable[str] = ()) -> pa.Schema:
    """A table's columns as an Arrow schema; arguments as in `columns_of`."""
    # Without their meanings: a dataset can be read whatever becomes of the packages that its measures are from.
    columns = _columns_of(table, [Column(name, pa.float64(), "") for name in measures])
    return pa.schema([column.field for column in columns])


def _columns_of(table: str, measures: Iterable[Column]) -> tuple[Column, ...]:
    match table:
        case "scores":
            error = Column("error", pa.string(), "why it failed, or a line for each measure that did; null otherwise")
            return (*_KEY, *_BATCH, *measures, _NUM_UNITS, _STATUS, error, *_PROVENANCE)
        case "architectures":
            return _ARCHITECTURES
        case "accuracies":
            return _ACCURACIES
        case "joined":
            own = (*_KEY, *_BATCH, *measures, _NUM_UNITS, _STATUS)
            return (*own, *_BASELINES, *_LABEL, _ACCURACY, *_REPEATS)
    raise KeyError(table)


ARCHITECTURES: Final = schema_of("architectures")
ACCURACIES: Final = schema_of("accuracies")


def check_measure_name(name: str) -> None:
    """Refuse a measure that cannot have a column, since one of another meaning is called so.

    Raises:
        SettingsError: it is called like a column, or its name is no identifier.
    """
    taken = {column.name for table in TABLES for column in columns_of(table, ())}
    if not name.isidentifier() or name.casefold() in taken:
        raise SettingsError(f"measure {name!r} cannot have a column of that name; call it otherwise")


def check_values(table: pa.Schema, values: Mapping[str, Any]) -> None:
    """Find a value that its column cannot hold, before writing it fails with all other rows of the file.

    Args:
        table: the columns.
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


def _meaning_of(measure: str) -> str:
    known = all_measures().get(measure)
    meaning = "a measure of a package that is not installed here" if known is None else f"measure: {known.formula}"
    return f"{meaning}; null where it was not computed"
