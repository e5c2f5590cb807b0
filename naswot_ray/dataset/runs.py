"""`runs/<run_id>.json`: what was asked for, on what, by which versions, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from naswot_ray.dataset import layout
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError

RunStatus = Literal["running", "finished", "interrupted", "failed"]


class GridRecord(BaseModel):
    """The rows a run was to fill: spaces x batch sizes x seeds, on one image source.

    Attributes:
        num_architectures: how many each of the spaces has, in their order.
        limit: only the first `limit` architectures of each space; None for all.
        sample: only `sample` architectures of each space, drawn at random; None for all.
    """

    model_config = ConfigDict(frozen=True)

    spaces: tuple[str, ...]
    images: str
    batch_sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    num_architectures: tuple[int, ...]
    limit: int | None = None
    sample: int | None = None


class RunRecord(BaseModel):
    """The content of a run's record.

    Attributes:
        status: `running` also marks a run whose driver was killed.
        updated: when the record was written; a run that goes on does so every minute or with its next part.
        fingerprint: of the settings it wrote under.
        counts: rows scored by this run: `rows`, and by status.
        seconds: from the first task on; the start of the workers is not in it.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    status: RunStatus
    started: datetime
    updated: datetime | None = None  # added in schema version 2.1
    finished: datetime | None = None
    seconds: float | None = None
    grid: GridRecord
    options: Mapping[str, Any]
    fingerprint: str
    versions: Mapping[str, str | None]
    hardware: Mapping[str, Any]
    counts: Mapping[str, int] = {}


def write(storage: Storage, record: RunRecord) -> None:
    """Write a run's record, replacing its earlier state."""
    storage.write_bytes(layout.run_record(record.run_id), (record.model_dump_json(indent=2) + "\n").encode())


def read(storage: Storage, path: PurePosixPath) -> RunRecord:
    """One record.

    Raises:
        DatasetError: it is damaged.
    """
    try:
        return RunRecord.model_validate(json.loads(storage.read_bytes(path)))
    except (ValueError, ValidationError) as error:
        raise DatasetError(f"{storage.path(path)} is damaged ({str(error).splitlines()[0]}); move it away") from error


def read_all(storage: Storage) -> list[RunRecord]:
    """All records, oldest first.

    Raises:
        DatasetError: one of them is damaged.
    """
    names = (name for name in storage.list_names(layout.RUNS) if name.endswith(".json"))
    records = [read(storage, layout.RUNS / name) for name in names]
    return sorted(records, key=lambda record: record.started)


def space_options(records: Iterable[RunRecord]) -> dict[str, str]:
    """The parameters that runs gave to their spaces: name -> `PARAMETER=VALUE`, of the latest run that gave it.

    Args:
        records: oldest first.
    """
    return {option.partition("=")[0]: option for record in records for option in record.options.get("space_option", ())}
