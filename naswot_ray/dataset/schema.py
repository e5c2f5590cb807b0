"""The schema: name, type and meaning of every column in every file of a dataset.

docs/dataset.md, and the card and the Croissant file of a publication, are made from it.
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
"""MAJOR.MINOR. A minor version adds columns. A dataset of another major version is refused."""

STATUS_OK: Final = "ok"
STATUS_SINGULAR: Final = "singular"
STATUS_FAILED: Final = "failed"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: its name.
        type: the type of its values.
        meaning: what its values mean, in one line.
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
        "images",
        pa.string(),
        "image source: noise, cifar10, cifar100 or imagenet16-120, followed by the size if the images were enlarged",
    ),
    _required("batch_size", pa.int32(), "N, the number of images"),
    _required("seed", pa.int64(), "random seed of the weights and of the batch"),
)

_NUM_UNITS: Final = Column("num_units", pa.int64(), "N_A, the number of live ReLU units with their published multiplicities")

_STATUS: Final = _required(
    "status",
    pa.string(),
    "ok, singular (two images cannot be told apart: a value is -inf) or failed (no measure has a value)",
)

_PROVENANCE: Final = (
    _required(
        "engine",
        pa.string(),
        "engine that computed the row: exact, fast or cuda, or several joined by +; none if no worker could compute it",
    ),
    _required("dtype", pa.string(), "precision of the forward pass"),
    _required("device", pa.string(), "cpu or cuda; none if no worker could compute the row"),
    _required("seconds", pa.float64(), "seconds that computing the row took"),
    _required("run_id", pa.string(), "run that wrote the row last; its record is in runs/"),
)

SCORE_PROVENANCE: Final = tuple(column.name for column in _PROVENANCE)
"""Columns that say how a row was computed. All other columns are the same whoever computes the row, except that values of
different engines agree only within their tolerance."""

_BASELINES: Final = (
    Column("params", pa.int64(), "trainable parameters of the network as the benchmark trained it"),
    Column("flops", pa.int64(), "multiply-accumulates of convolutions and linear layers, plus one per bias"),
    Column("num_relus", pa.int32(), "number of ReLU layers that the output depends on, each counted once"),
    Column("num_layers", pa.int32(), "number of convolutions and linear layers"),
)

BASELINES: Final = tuple(column.name for column in _BASELINES)
"""Columns that a measure has to beat to be useful."""

_ARCHITECTURES: Final = (
    *_KEY,
    Column("benchmark_index", pa.int32(), "position in the benchmark's own order, where it has one"),
    Column("architecture", pa.string(), "the architecture itself, in the benchmark's notation"),
    Column("isomorphism_class", pa.string(), "key that architectures share if their cells are isomorphic"),
    *_BASELINES,
    _required("status", pa.string(), "ok, or failed where the network could not be built"),
    Column("error", pa.string(), "why it failed; null otherwise"),
)

_LABEL: Final = (
    _required("dataset", pa.string(), "data that the network was trained on"),
    _required("split", pa.string(), "images that it was measured on: valid, test or valtest, as the benchmark calls them"),
    _required("epochs", pa.int32(), "number of epochs of the training"),
)

_ACCURACY: Final = _required("accuracy", pa.float64(), "accuracy in percent; the mean over repeats if seed is null")
_MEAN_ACCURACY: Final = _required("accuracy", pa.float64(), "mean accuracy over repeats, in percent")

_REPEATS: Final = (
    Column("max_accuracy", pa.float64(), "accuracy of the best repeat, if the row is a mean over repeats"),
    Column("num_repeats", pa.int32(), "number of repeats in the mean, if the source says so"),
)

_ACCURACIES: Final = (
    *_KEY[:2],
    *_LABEL,
    Column("seed", pa.int64(), "seed of the repeat; null if the row is the mean over repeats"),
    _ACCURACY,
    *_REPEATS,
    Column("training_seconds", pa.float64(), "seconds that the training took, if the source says so"),
    Column("params", pa.int64(), "parameters of the trained network, if the source says so"),
    Column("flops", pa.int64(), "FLOPs of the trained network, if the source says so"),
    Column("optimiser", pa.string(), "settings of the training as JSON, if they differ between architectures"),
    _required("source_digest", pa.string(), "SHA-256 of the file that the row was read from"),
)

TABLES: Final = {
    "scores": "a row per architecture, image source, batch size and seed",
    "architectures": "a row per architecture, with the baselines that a measure has to beat",
    "accuracies": "trained accuracies from the benchmark's file",
    "joined": "scores, baselines and mean accuracies: a row per score row and (dataset, split, epochs)",
}
"""Table -> what a row of it is."""

FILE_KEYS: Final = {
    "scores": ("space", "images", "batch_size", "seed"),
    "architectures": ("space",),
    "accuracies": ("space",),
    "joined": ("space",),
}
"""Table -> the columns that have one value in each of its files. The file's name contains these values too (`layout`)."""


def columns_of(table: str, measures: Iterable[str]) -> tuple[Column, ...]:
    """The columns of a table, in their order.

    Args:
        table: one of `TABLES`.
        measures: the measures that the dataset has columns of (`Dataset.measures`).
    """
    return _columns_of(table, [Column(name, pa.float64(), _meaning_of(name)) for name in measures])


def schema_of(table: str, measures: Iterable[str] = ()) -> pa.Schema:
    """A table's columns as an Arrow schema; arguments as in `columns_of`."""
    # Meanings are left out, so that a dataset can be read without the packages that its measures come from.
    columns = _columns_of(table, [Column(name, pa.float64(), "") for name in measures])
    return pa.schema([column.field for column in columns])


def _columns_of(table: str, measures: Iterable[Column]) -> tuple[Column, ...]:
    match table:
        case "scores":
            error = Column("error", pa.string(), "why the row failed, or a line for each measure that failed; null otherwise")
            return (*_KEY, *_BATCH, *measures, _NUM_UNITS, _STATUS, error, *_PROVENANCE)
        case "architectures":
            return _ARCHITECTURES
        case "accuracies":
            return _ACCURACIES
        case "joined":
            own = (*_KEY, *_BATCH, *measures, _NUM_UNITS, _STATUS)
            return (*own, *_BASELINES, *_LABEL, _MEAN_ACCURACY, *_REPEATS)
    raise KeyError(table)


ARCHITECTURES: Final = schema_of("architectures")
ACCURACIES: Final = schema_of("accuracies")


def check_measure_name(name: str) -> None:
    """Refuse a measure whose name cannot be the name of a column.

    Raises:
        SettingsError: another column has this name, or the name is not an identifier.
    """
    taken = {column.name for table in TABLES for column in columns_of(table, ())}
    if not name.isidentifier() or name.casefold() in taken:
        raise SettingsError(f"measure {name!r} cannot have a column of that name; give it another name")


def check_values(table: pa.Schema, values: Mapping[str, Any]) -> None:
    """Check that each value fits its column. Otherwise writing would fail, and with it all other rows of the file.

    Args:
        table: the columns.
        values: name of a column -> value.

    Raises:
        ValueError: a value is too large for its column, or has another type.
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
