"""Plans: the grids that runs were asked for. Until a plan is withdrawn, the dataset is meant to hold its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from naswot_ray.dataset import runs
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.runs import GridRecord, GridState, RunRecord
from naswot_ray.errors import SettingsError
from naswot_ray.grid.grid import Grid
from naswot_ray.grid.survey import Survey, state_of

HEARTBEAT: Final = timedelta(minutes=1)
"""How often a run in progress writes its record."""


@dataclass(frozen=True)
class Plan:
    """A grid that runs were asked for.

    Attributes:
        grid: the rows that the dataset is meant to hold.
        run_ids: the runs that asked for them, oldest first.
        withdrawn: when the plan was withdrawn; None while it is in force.
        state: how many of its rows the dataset holds.
    """

    grid: GridRecord
    run_ids: tuple[str, ...]
    withdrawn: datetime | None
    state: GridState


def list_plans(dataset: Dataset) -> list[Plan]:
    """The plans of a dataset, in the order in which runs first asked for them.

    A withdrawn plan is in force again when another run asks for the same grid.

    Raises:
        DatasetError: a part or a record is damaged.
    """
    asking: dict[GridRecord, list[RunRecord]] = {}
    for record in dataset.runs:
        asking.setdefault(record.grid, []).append(record)
    return [_plan(dataset, grid, records) for grid, records in asking.items()]


def withdraw(dataset: Dataset, run_ids: Sequence[str]) -> None:
    """Withdraw the plans of some runs, so that their rows no longer count as missing. Rows that exist stay.

    If other runs asked for the same grid, their plans are withdrawn too. Otherwise the rows would still count as missing.

    Args:
        dataset: the dataset.
        run_ids: runs that asked for the plans.

    Raises:
        SettingsError: the dataset has no such run, or the run still seems to be in progress. Nothing is withdrawn then.
    """
    records = {record.run_id: record for record in dataset.runs}
    unknown = [run_id for run_id in run_ids if run_id not in records]
    if unknown:
        known = ", ".join(records) or "none"
        raise SettingsError(f"{dataset.storage.root} knows no run {unknown[0]}; its runs are: {known}")
    grids = {records[run_id].grid for run_id in run_ids}
    affected = [record for record in records.values() if record.grid in grids and record.withdrawn is None]
    for record in affected:
        if seems_to_go_on(record):
            age = (datetime.now(UTC) - record.updated).total_seconds()
            silence = 5 * HEARTBEAT.total_seconds()
            raise SettingsError(
                f"run {record.run_id} seems to be in progress: it wrote its record {max(age, 0):.0f} s ago; stop it, or, if it "
                f"was killed, wait until its record is {silence:.0f} s old"
            )
    now = datetime.now(UTC)
    for record in affected:
        runs.write(dataset.storage, record.model_copy(update={"withdrawn": now}))


def seems_to_go_on(record: RunRecord) -> bool:
    """Whether a run has not ended and wrote its record within the last five heartbeats."""
    return record.status == "running" and record.updated > datetime.now(UTC) - 5 * HEARTBEAT


def _plan(dataset: Dataset, grid: GridRecord, records: Sequence[RunRecord]) -> Plan:
    times = [record.withdrawn for record in records]
    withdrawn = None if None in times else max(time for time in times if time is not None)
    state = state_of(Survey(Grid(grid, dataset.manifest.shard_size), dataset.storage, dataset.manifest.settings))
    return Plan(grid, tuple(record.run_id for record in records), withdrawn, state)
