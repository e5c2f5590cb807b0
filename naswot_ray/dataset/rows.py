"""The rows of the tables that runs write, and how two rows with the same key are merged."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from naswot_ray.dataset.schema import STATUS_FAILED, STATUS_OK, STATUS_SINGULAR


class TableRow(Protocol):
    """A row of a table. Columns that `columns` leaves out are null."""

    @property
    def status(self) -> str: ...

    def columns(self) -> Mapping[str, object]: ...


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """A row of the scores table.

    Attributes:
        space, arch_id, arch_index, images, batch_size, seed: the key of the row.
        values: measure -> value.
        errors: measure -> its error, for measures that failed alone.
        num_units: N_A; None if the network could not be run.
        error: the error of the whole row; None if it did not fail.
        engine, dtype, device: what computed the row; `none` if nothing did.
        seconds: how long computing it took.
        run_id: the run that wrote it.
    """

    space: str
    arch_id: str
    arch_index: int
    images: str
    batch_size: int
    seed: int
    run_id: str
    values: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    num_units: int | None = None
    error: str | None = None
    engine: str = "none"
    dtype: str = "none"
    device: str = "none"
    seconds: float = 0.0

    @property
    def status(self) -> str:
        """`failed` if no measure has a value; `singular` if a value is -inf, because K is singular; otherwise `ok`."""
        if not self.values:
            return STATUS_FAILED
        return STATUS_SINGULAR if any(map(math.isinf, self.values.values())) else STATUS_OK

    def columns(self) -> dict[str, object]:
        own = {name: value for name, value in vars(self).items() if name not in ("values", "errors")}
        return {**own, **self.values, "status": self.status, "error": self.error or format_errors(self.errors)}


@dataclass(frozen=True, kw_only=True)
class ArchitectureRow:
    """A row of the architectures table. If the network could not be built, what depends on it is None and `error` says why."""

    space: str
    arch_id: str
    arch_index: int
    benchmark_index: int | None = None
    architecture: str | None = None
    isomorphism_class: str | None = None
    params: int | None = None
    flops: int | None = None
    num_relus: int | None = None
    num_layers: int | None = None
    error: str | None = None

    @property
    def status(self) -> str:
        """`ok` or `failed`."""
        return STATUS_OK if self.error is None else STATUS_FAILED

    def columns(self) -> dict[str, object]:
        return {**vars(self), "status": self.status}


def format_errors(errors: Mapping[str, str]) -> str | None:
    """Format the errors of measures for the column `error`: a line for each, `MEASURE: ERROR`. None if there are none."""
    return "\n".join(f"{name}: {' '.join(reason.split())}" for name, reason in sorted(errors.items())) or None


def parse_errors(error: str | None, measures: Collection[str]) -> dict[str, str]:
    """Measure -> its error, from the column `error`. The error of a whole row gives nothing.

    Args:
        error: the content of the column.
        measures: all measures that the table has columns of.
    """
    lines = (line.partition(": ") for line in (error or "").split("\n"))
    return {name: reason for name, _, reason in lines if name in measures}


def merged(old: ScoreRow, new: ScoreRow, wanted: Collection[str]) -> ScoreRow:
    """Merge two score rows with the same key. Missing values are filled in, and existing values are never replaced.

    Args:
        old: the existing row.
        new: the row to write.
        wanted: the measures that the new row was computed for.

    Returns:
        the new row if the old one has no values. Otherwise the old row with the values that only the new one has. If there are
        any, `engine` and `device` name what computed either row, `seconds` is the sum, and `run_id` is the newer one.
    """
    if not old.values:
        return new
    added = {name: value for name, value in new.values.items() if name not in old.values}
    errors = {**old.errors, **new.errors}
    if new.error is not None:
        errors |= dict.fromkeys(wanted, new.error)
    if added and old.num_units != new.num_units:
        errors |= dict.fromkeys(added, f"ValueError: found {new.num_units} units, the row has {old.num_units}")
        added = {}
    values = {**old.values, **added}
    row = replace(old, values=values, errors={name: reason for name, reason in errors.items() if name not in values})
    if not added:
        return row
    return replace(
        row,
        engine=_both(old.engine, new.engine),
        device=_both(old.device, new.device),
        seconds=old.seconds + new.seconds,
        run_id=new.run_id,
    )


def _both(one: str, other: str) -> str:
    """`exact` and `fast` give `exact+fast`."""
    return "+".join(dict.fromkeys([*one.split("+"), *other.split("+")]))
