"""Records of runs, `runs/<run_id>.json`: what a run was asked for, its hardware, its software versions and its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from naswot_ray.dataset import layout
from naswot_ray.dataset.json_models import parse_json, validated
from naswot_ray.dataset.names import Name, RunId
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError
from naswot_ray.measures import DEFAULT_MEASURES

RunStatus = Literal["running", "finished", "interrupted", "failed"]

MAX_BYTES: Final = 2**26
"""The largest record that is read. Most of a large record are its seeds, which it contains twice."""


MAX_ARCHITECTURES: Final = 10**8
"""The largest number of architectures in a space. The largest space so far has 423,624."""

MAX_POINTS: Final = 10**5
"""The largest number of points in a grid: spaces x batch sizes x seeds. Each point has at least one part file."""


class GridRecord(BaseModel):
    """The rows that a run was asked for: spaces x batch sizes x seeds, on one image source.

    Attributes:
        spaces, images, batch_sizes, seeds: the axes of the grid.
        num_architectures: the number of architectures of each space, in the order of `spaces`.
        limit: only the first `limit` architectures of each space; None for all.
        sample: only `sample` architectures of each space, drawn at random; None for all.
        measures: the measures that each row needs a value of.
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
    """How many rows of a run's grid the dataset held when the run ended, whichever run had written them.

    Attributes:
        wanted: score rows of the grid.
        present: those of them that existed, including failed ones.
        failed: those of them that failed, or in which a measure failed.
        missing_architectures: rows of the architectures table that did not exist.
        failed_architectures: rows of the architectures table that failed.
    """

    model_config = ConfigDict(frozen=True)

    wanted: int
    present: int
    failed: int
    missing_architectures: int = 0
    failed_architectures: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every row exists and has its values."""
        return self.wanted == self.present and not (self.failed or self.missing_architectures or self.failed_architectures)


class RunRecord(BaseModel):
    """The content of a run's record.

    Attributes:
        status: how the run ended. A run whose driver was killed keeps the status `running`.
        started, finished: when the run started, and when it ended.
        updated: when the record was written. A run in progress writes it every minute, or with its next part if that is later.
        seconds: duration from the first task on, without the start of the workers.
        grid: the rows that it was asked for.
        options: its options.
        fingerprint: the fingerprint of the settings that it wrote under.
        versions, hardware: the software versions and the hardware that it used.
        counts: how many rows this run scored or filled in: all of them as `rows`; as `failed` those that failed or in which a
            measure that was asked for failed; the others by the status that the row had afterwards, `ok` or `singular`. Rows
            that lacked nothing are not counted.
        state: the state of the grid at the end; None while the run is in progress, and if it did not reach its end.
        withdrawn: when its plan was withdrawn; since then the dataset is no longer meant to hold the grid. None otherwise.
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
    """Write a run's record, replacing an earlier one."""
    storage.write_bytes(layout.run_record(record.run_id), (record.model_dump_json(indent=2) + "\n").encode())


def read(storage: Storage, path: PurePosixPath) -> RunRecord:
    """Read the record of one run.

    Raises:
        DatasetError: it is damaged, or it is the record of another run than its file name says.
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
    """Read the records of all runs, oldest first.

    Raises:
        DatasetError: one of them is damaged.
    """
    paths = [file.path for file in storage.list_files(layout.RUNS) if layout.is_run_record(file.path)]
    records = [read(storage, path) for path in paths]
    return sorted(records, key=lambda record: record.started)


def space_options(records: Iterable[RunRecord]) -> dict[str, str]:
    """The parameters that runs gave to their spaces.

    Args:
        records: the records of the runs, oldest first.

    Returns:
        parameter -> `PARAMETER=VALUE`, as the latest run gave it.
    """
    return {option.partition("=")[0]: option for record in records for option in record.options.get("space_option", ())}
