"""Options that several commands have: those of a file of accuracies, and how such a file is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from naswot_ray.benchmarks.accuracy_file import staged_accuracies
from naswot_ray.benchmarks.members import Members
from naswot_ray.dataset.accuracies import StagedAccuracies
from naswot_ray.fetch.progress import ConsoleFetchProgress
from naswot_ray.paths import INPUT
from naswot_ray.terminal import complain

Accuracies = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Trained accuracies to add: an official benchmark file or directory, or a .parquet or .csv table.",
    ),
    INPUT,
]
Mapping = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help="Which column of a table is what, FIELD=COLUMN; FIELD is arch_id or DATASET/SPLIT/EPOCHS. Repeat for several: "
        "--map arch_id=arch_str --map cifar10/test/200=cifar10_test_acc. DATASET/SPLIT/EPOCHS/seconds is the trainings' time.",
    ),
]

Measure = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Which measure to show. Default: naswot, or the first that has values."),
]

Replace = Annotated[
    bool,
    typer.Option(
        "--replace",
        help="Put the table's accuracies in the place of those of the same dataset, split and epochs; all others stay.",
    ),
]


def read_staged(space: str, source: str, mapping: list[str] | None, members: Callable[[], Members]) -> StagedAccuracies:
    """Read a file of accuracies to its end, with a progress bar, and print on the standard error what looks wrong in it."""
    with ConsoleFetchProgress() as progress:
        staged = staged_accuracies(space, source, mapping or (), members, progress.reader)
    for line in staged.warnings:
        complain(f"warning: {line}")
    return staged
