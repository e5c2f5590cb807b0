"""How a dataset came to be: its runs and the commands that make it again, without the paths of the machine it was made on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote

import duckdb

from naswot_ray.dataset.check import list_files
from naswot_ray.dataset.opening import Dataset
from naswot_ray.dataset.runs import RunRecord
from naswot_ray.fetch.catalogue import CATALOGUE

DATASET: Final = "scores"
"""What the commands call the dataset; whoever runs them may call it otherwise."""

_OPTIONS: Final = ("space", "space_option", "limit", "sample", "batch_size", "seed", "images", "data", "image_size", "engine")
"""Options of `naswot-ray score` that decide what rows there are and what is in them."""

_LOCAL: Final = ("output", "data", "address")
"""Options whose values are of no use, and no business, elsewhere."""


@dataclass(frozen=True)
class AccuracySource:
    """A file that accuracies were read from.

    Attributes:
        space: whose accuracies.
        name: of the file or directory.
        sha256: of its content.
        num_rows: read from it.
        trained_on: the data sets in it.
        terms: its licence, as far as its publisher states one; None for a file that no publisher is known of.
        address: where it is to be had; None likewise.
    """

    space: str
    name: str
    sha256: str
    num_rows: int
    trained_on: tuple[str, ...]
    terms: str | None
    address: str | None


def commands(dataset: Dataset) -> list[str]:
    """The command lines of the runs that wrote rows, oldest first, each once.

    `IMAGES` stands for the directory of the images.
    """
    wrote = [run for run in dataset.runs if run.counts.get("rows")] or dataset.runs
    return list(dict.fromkeys(_command(run, dataset.manifest.shard_size) for run in wrote))


def runs(dataset: Dataset) -> list[dict[str, Any]]:
    """The records of all runs, oldest first, as plain values."""
    return [_without_paths(run) for run in dataset.runs]


def last_change(dataset: Dataset) -> datetime | None:
    """When the last run ended, or wrote its record; None if there are no runs."""
    times = [run.finished or run.updated or run.started for run in dataset.runs]
    return max(times, default=None)


def accuracy_sources(dataset: Dataset, connection: duckdb.DuckDBPyConnection) -> list[AccuracySource]:
    """Where the published accuracies come from.

    Args:
        dataset: whose files carry the sources' names.
        connection: with a view of the published accuracies.
    """
    return list(_accuracy_sources(dataset, connection))


def _accuracy_sources(dataset: Dataset, connection: duckdb.DuckDBPyConnection) -> Iterator[AccuracySource]:
    names: dict[tuple[str, str], str] = {}
    for file in list_files(dataset):
        if file.path.parts[0] == "accuracies":
            with dataset.storage.open_parquet(file.path) as content:
                first = next(content.iter_batches(1, columns=["space", "source_digest"]), None)
            if first is not None and first.num_rows:
                names[first["space"][0].as_py(), first["source_digest"][0].as_py()] = _source_name(file.path)
    found = connection.execute(
        "SELECT space, source_digest, count(*), list_sort(list(DISTINCT dataset)) FROM accuracies GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    for space, sha256, num_rows, trained_on in found:
        name = names[space, sha256]
        entry = next((e for e in CATALOGUE.values() if name in (e.unpacked, *(file.name for file in e.files))), None)
        yield AccuracySource(
            space=space,
            name=name,
            sha256=sha256,
            num_rows=num_rows,
            trained_on=tuple(trained_on),
            terms=entry.terms if entry else None,
            address=entry.address if entry else None,
        )


def _source_name(path: PurePosixPath) -> str:
    """The source's own name: without the digest that `add_accuracies` puts after it."""
    return unquote(path.name).removesuffix(".parquet").rpartition("-")[0]


def _command(run: RunRecord, shard_size: int) -> str:
    words = ["naswot-ray", "score", "--output", DATASET]
    for name in _OPTIONS:
        value = run.options.get(name)
        if value is None or value == []:
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [f"--{name.replace('_', '-')}", "IMAGES" if name == "data" else _without_folder(name, str(one))]
    return shlex.join([*words, "--shard-size", str(shard_size)])


def _without_folder(name: str, value: str) -> str:
    if name != "space_option":
        return value
    parameter, equals, setting = value.partition("=")
    return f"{parameter}{equals}{PurePosixPath(setting).name}"


def _without_paths(run: RunRecord) -> dict[str, Any]:
    record = run.model_dump(mode="json")
    record["options"] = {
        name: [_without_folder(name, one) for one in value] if name == "space_option" else value
        for name, value in record["options"].items()
        if name not in _LOCAL
    }
    return record
