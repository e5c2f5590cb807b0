"""Options that several commands share, such as those for images and accuracies, and the reading of a file of accuracies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from naswot_ray.benchmarks.accuracy_file import staged_accuracies
from naswot_ray.benchmarks.members import Members
from naswot_ray.dataset.accuracies import StagedAccuracies
from naswot_ray.fetch.progress import ConsoleFetchProgress
from naswot_ray.paths import INPUT
from naswot_ray.run.options import ScoreOptions
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
        help="Which column of a table holds which field; repeat for several. FIELD is arch_id or DATASET/SPLIT/EPOCHS, or "
        "DATASET/SPLIT/EPOCHS/seconds for the training time. Example: --map arch_id=arch_str --map "
        "cifar10/test/200=cifar10_test_acc.",
    ),
]

Images = Annotated[str, typer.Option(metavar="TEXT", help=ScoreOptions.model_fields["images"].description)]
Data = Annotated[str | None, typer.Option(metavar="PATH", help=ScoreOptions.model_fields["data"].description), INPUT]
ImageSize = Annotated[int | None, typer.Option(min=1, metavar="N", help=ScoreOptions.model_fields["image_size"].description)]

Measure = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Which measure to show. Default: naswot, or the first that has values."),
]

Replace = Annotated[
    bool,
    typer.Option(
        "--replace",
        help="Replace the dataset's accuracies for the same dataset, split and epochs by those of the file. All others stay.",
    ),
]


def read_staged(space: str, source: str, mapping: list[str] | None, members: Callable[[], Members]) -> StagedAccuracies:
    """Read a whole file of accuracies with a progress bar, and print on the standard error what looks wrong in it."""
    with ConsoleFetchProgress() as progress:
        staged = staged_accuracies(space, source, mapping or (), members, progress.reader)
    for line in staged.warnings:
        complain(f"warning: {line}")
    return staged
