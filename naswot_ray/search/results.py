"""What searches found: rows for a Parquet file, and a table beside the published figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from naswot_ray.search.problem import Budget, Problem, Search

SCHEMA: Final = pa.schema(
    [
        pa.field("algorithm", pa.string(), nullable=False),
        pa.field("max_scored", pa.int32()),
        pa.field("max_trained", pa.int32()),
        pa.field("max_seconds", pa.float64()),
        pa.field("run", pa.int32(), nullable=False),
        pa.field("step", pa.int32(), nullable=False),
        pa.field("num_scored", pa.int32(), nullable=False),
        pa.field("num_trained", pa.int32(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("arch_id", pa.string(), nullable=False),
        pa.field("accuracy", pa.float64()),
    ]
)
"""A row for each change of a run's choice, and one for its end: the budget, what was spent until then, the choice, and its
reported accuracy in percent, null where it is not known."""

_NB201: Final = ("cifar10", "cifar100", "imagenet16-120")

PUBLISHED: Final[dict[tuple[str, str, str, int | None], tuple[float, float | None]]] = {
    **{("nasbench201", d, "random", 1): (a, None) for d, a in zip(_NB201, (86.61, 60.83, 33.13), strict=True)},
    **{("nasbench201", d, "naswot", 10): (a, None) for d, a in zip(_NB201, (92.44, 68.62, 41.31), strict=True)},
    **{
        ("nasbench201", d, "naswot", 100): value
        for d, value in zip(_NB201, ((92.81, 0.99), (69.48, 1.70), (43.10, 3.16)), strict=True)
    },
    **{("nasbench201", d, "naswot", 1000): (a, None) for d, a in zip(_NB201, (92.96, 69.98, 44.44), strict=True)},
    **{("nasbench201", d, "rea", None): (a, None) for d, a in zip(_NB201, (93.92, 71.84, 45.54), strict=True)},
    **{("nats_sss", d, "naswot", 1000): (a, None) for d, a in zip(_NB201, (93.10, 69.10, 45.08), strict=True)},
    ("nasbench101", "cifar10", "naswot", 100): (91.77, None),
    ("nasbench101", "cifar10", "rea", None): (93.87, None),
    ("nasbench101", "cifar10", "area", None): (93.91, None),
}
"""Test accuracy in percent and its standard deviation over 500 runs (Mellor et al. 2021, tables of section 4), by space,
dataset, algorithm and number of architectures; None where the published budget was 12,000 simulated seconds."""


@dataclass(frozen=True)
class Contestant:
    """An algorithm with its budget."""

    algorithm: str
    budget: Budget

    @property
    def label(self) -> str:
        """`naswot, 100 scored`."""
        b = self.budget
        parts = [f"{n:,} {what}" for n, what in ((b.scores, "scored"), (b.trainings, "trained")) if n is not None]
        return ", ".join([self.algorithm, *parts, *([f"{b.seconds:,.0f} s"] if b.seconds is not None else [])])


@dataclass(frozen=True)
class Result:
    """All runs of a contestant.

    Attributes:
        accuracy, deviation: mean and standard deviation of the reported accuracy in percent; None if it is not known.
        num_scored, num_trained, seconds: means of what was spent.
    """

    contestant: Contestant
    num_runs: int
    accuracy: float | None
    deviation: float | None
    num_scored: float
    num_trained: float
    seconds: float


def rows_of(contestant: Contestant, run: int, problem: Problem, search: Search) -> list[dict[str, Any]]:
    """The rows of one run, by `SCHEMA`."""
    budget = contestant.budget
    return [
        {
            "algorithm": contestant.algorithm,
            "max_scored": budget.scores,
            "max_trained": budget.trainings,
            "max_seconds": budget.seconds,
            "run": run,
            "step": number,
            "num_scored": step.num_scored,
            "num_trained": step.num_trained,
            "seconds": step.seconds,
            "arch_id": problem.arch_id(step.choice),
            "accuracy": problem.reported_accuracy(step.choice),
        }
        for number, step in enumerate(search.steps)
    ]


def summarise(contestant: Contestant, rows: Sequence[dict[str, Any]]) -> Result:
    """Sum up the runs of a contestant, of which `rows` are all."""
    ends = {row["run"]: row for row in rows}  # the last of each run
    accuracies = np.array([row["accuracy"] for row in ends.values() if row["accuracy"] is not None])
    means = {name: float(np.mean([row[name] for row in ends.values()])) for name in ("num_scored", "num_trained", "seconds")}
    return Result(
        contestant,
        len(ends),
        float(accuracies.mean()) if len(accuracies) else None,
        float(accuracies.std()) if len(accuracies) else None,
        **means,
    )


def markdown(results: Sequence[Result], space: str, dataset: str | None) -> str:
    """A table of results beside the published figures."""
    lines = [
        "| algorithm | runs | test accuracy | published | scored | trained | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in results:
        own = "" if r.accuracy is None else f"{r.accuracy:.2f} ± {r.deviation:.2f}"
        spent = f"{r.num_scored:,.0f} | {r.num_trained:,.0f} | {r.seconds:,.1f}"
        lines.append(f"| {r.contestant.label} | {r.num_runs} | {own} | {_published(r.contestant, space, dataset)} | {spent} |")
    return "\n".join(lines) + "\n"


def _published(contestant: Contestant, space: str, dataset: str | None) -> str:
    name, budget = contestant.algorithm, contestant.budget
    size = budget.trainings if name == "random" else None if name in ("rea", "area") else budget.scores
    found = PUBLISHED.get((space, dataset or "", name, size))
    if found is None:
        return ""
    mean, deviation = found
    note = " (12,000 s)" if size is None else ""
    return f"{mean:.2f}{'' if deviation is None else f' ± {deviation:.2f}'}{note}"
