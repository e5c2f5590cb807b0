"""`runs/<run_id>.json`: what was asked for, on what, by which versions, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from naswot_ray.dataset import layout
from naswot_ray.dataset.models import parse_json, validated
from naswot_ray.dataset.names import Name, RunId
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError
from naswot_ray.measures import DEFAULT_MEASURES

RunStatus = Literal["running", "finished", "interrupted", "failed"]

MAX_BYTES: Final = 2**26
"""Of a record: most of it are the seeds, twice."""


MAX_ARCHITECTURES: Final = 10**8
"""Of a space; the largest there is has 423,624."""

MAX_POINTS: Final = 10**5
"""Of a grid: spaces x batch sizes x seeds. Each has a part file at least."""


class GridRecord(BaseModel):
    """The rows a run was to fill: spaces x batch sizes x seeds, on one image source.

    Attributes:
        num_architectures: how many each of the spaces has, in their order.
        limit: only the first `limit` architectures of each space; None for all.
        sample: only `sample` architectures of each space, drawn at random; None for all.
        measures: what each row was to have a value of.
    """

    model_config = ConfigDict(frozen=True)

    spaces: tuple[Name, ...]
    images: Name
    batch_sizes: tuple[Annotated[int, Field(gt=0, lt=2**31)], ...]
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...]
    num_architectures: tuple[Annotated[int, Field(ge=0, le=MAX_ARCHITECTURES)], ...]
    limit: Annotated[int, Field(ge=0)] | None = None
    sample: Annotated[int, Field(gt=0)] | None = None
    measures: tuple[Name, ...] = DEFAULT_MEASURES

    @model_validator(mode="after")
    def _is_a_grid(self) -> GridRecord:
        if len(self.spaces) != len(self.num_architectures):
            raise ValueError(
                f"expected a number of architectures for each of {len(self.spaces)} spaces, found {len(self.num_architectures)}"
            )
        axes = (self.spaces, self.batch_sizes, self.seeds)
        if any(len(set(axis)) != len(axis) for axis in (*axes, self.measures)):
            raise ValueError("a space, a batch size, a seed or a measure is there twice")
        if (num_points := prod(map(len, axes))) > MAX_POINTS:
            raise ValueError(f"{num_points:,} points (spaces x batch sizes x seeds), expected at most {MAX_POINTS:,}")
        return self


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

    run_id: RunId
    status: RunStatus
    started: AwareDatetime
    updated: AwareDatetime
    finished: AwareDatetime | None = None
    seconds: float | None = None
    grid: GridRecord
    options: Mapping[str, Any]
    fingerprint: str
    versions: Mapping[str, str | None]
    hardware: Mapping[str, Any]
    counts: Mapping[str, int] = {}
    state: GridState | None = None
    withdrawn: AwareDatetime | None = None

    @field_validator("options")
    @classmethod
    def _space_options_are_texts(cls, options: Mapping[str, Any]) -> Mapping[str, Any]:
        given = options.get("space_option", ())
        if not isinstance(given, (list, tuple)) or not all(isinstance(entry, str) for entry in given):
            raise ValueError("space_option: expected a list of entries PARAMETER=VALUE")
        return options


def write(storage: Storage, record: RunRecord) -> None:
    """Write a run's record, replacing its earlier state."""
    storage.write_bytes(layout.run_record(record.run_id), (record.model_dump_json(indent=2) + "\n").encode())


def read(storage: Storage, path: PurePosixPath) -> RunRecord:
    """One record.

    Raises:
        DatasetError: it is damaged, or the record of another run than its name says.
    """
    try:
        record = validated(RunRecord, parse_json(storage.read_bytes(path, max_bytes=MAX_BYTES)))
    except ValueError as error:
        raise DatasetError(f"{storage.path(path)} is damaged ({error}); move it away") from error
    if layout.run_record(record.run_id) != path:
        raise DatasetError(
            f"{storage.path(path)} is the record of run {record.run_id}, not of the one in its name; move it away"
        )
    return record


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
