"""`runs/<run_id>.json`: what was asked for, on what, by which versions, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from naswot_ray.dataset import layout
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError

RunStatus = Literal["running", "finished", "interrupted", "failed"]

MAX_BYTES: Final = 2**26
"""Of a record: most of it are the seeds, twice."""


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


class GridState(BaseModel):
    """What the dataset held of a run's grid when the run ended, whoever had scored it.

    Attributes:
        wanted: score rows of the grid.
        present: how many of them were there, the failed ones too.
        failed: how many of them were there without a score.
        failed_architectures: rows of the architectures table that failed.
        missing_architectures: those that were not there.
    """

    model_config = ConfigDict(frozen=True)

    wanted: int
    present: int
    failed: int
    missing_architectures: int = 0
    failed_architectures: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every row is there and has its values."""
        return self.wanted == self.present and not (self.failed or self.missing_architectures or self.failed_architectures)


class RunRecord(BaseModel):
    """The content of a run's record.

    Attributes:
        status: `running` also marks a run whose driver was killed.
        updated: when the record was written; a run that goes on does so every minute or with its next part.
        fingerprint: of the settings it wrote under.
        counts: rows scored by this run: `rows`, and by status. Rows that were there already are not among them.
        state: of the grid at the end; None while the run goes on, and where it did not come to its end.
        withdrawn: when the plan was withdrawn: the grid is no longer what the dataset is meant to hold.
        seconds: from the first task on; the start of the workers is not in it.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    status: RunStatus
    started: datetime
    updated: datetime
    finished: datetime | None = None
    seconds: float | None = None
    grid: GridRecord
    options: Mapping[str, Any]
    fingerprint: str
    versions: Mapping[str, str | None]
    hardware: Mapping[str, Any]
    counts: Mapping[str, int] = {}
    state: GridState | None = None
    withdrawn: datetime | None = None


def write(storage: Storage, record: RunRecord) -> None:
    """Write a run's record, replacing its earlier state."""
    storage.write_bytes(layout.run_record(record.run_id), (record.model_dump_json(indent=2) + "\n").encode())


def read(storage: Storage, path: PurePosixPath) -> RunRecord:
    """One record.

    Raises:
        DatasetError: it is damaged.
    """
    try:
        return RunRecord.model_validate(json.loads(storage.read_bytes(path, max_bytes=MAX_BYTES)))
    except (ValueError, ValidationError) as error:
        raise DatasetError(f"{storage.path(path)} is damaged ({str(error).splitlines()[0]}); move it away") from error


def read_all(storage: Storage) -> list[RunRecord]:
    """All records, oldest first.

    Raises:
        DatasetError: one of them is damaged.
    """
    paths = [file.path for file in storage.list_files(layout.RUNS) if layout.is_run_record(file.path)]
    records = [read(storage, path) for path in paths]
    return sorted(records, key=lambda record: record.started)


def space_options(records: Iterable[RunRecord]) -> dict[str, str]:
    """The parameters that runs gave to their spaces: name -> `PARAMETER=VALUE`, of the latest run that gave it.

    Args:
        records: oldest first.
    """
    return {option.partition("=")[0]: option for record in records for option in record.options.get("space_option", ())}
