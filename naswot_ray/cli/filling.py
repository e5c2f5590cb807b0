"""Commands that fill a dataset: `score`, `join`, `accuracies`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from naswot_ray import console
from naswot_ray.benchmarks.reading import read_accuracies
from naswot_ray.cli.app import EXIT_PARTIAL, DatasetPath, only_space, reporting_errors, stdout, with_options
from naswot_ray.dataset.accuracies import StagedAccuracies, add_accuracies, stage
from naswot_ray.dataset.inputs import local_path
from naswot_ray.dataset.join import join as join_space
from naswot_ray.dataset.opening import open as open_dataset
from naswot_ray.dataset.schema import STATUS_FAILED
from naswot_ray.errors import SettingsError
from naswot_ray.fetch.progress import ConsoleProgress
from naswot_ray.paths import INPUT, OUTPUT
from naswot_ray.run.options import ScoreOptions
from naswot_ray.spaces import check_name

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


@reporting_errors
@with_options(ScoreOptions)
def score(accuracies: Accuracies = None, mapping: Mapping = None, **values: Any) -> None:
    """Score search spaces and write a dataset.

    Safe to run again: rows that are there are kept, and only the rest is done. More batch sizes, seeds, spaces or image
    sources extend the dataset. With --accuracies, the scores are joined with trained accuracies at the end.

    Example: naswot-ray score -o scores --batch-size 32 --batch-size 128 --seed 0 --seed 1 --images cifar10 --data ~/cifar
    """
    from naswot_ray.run.job import score_spaces  # noqa: PLC0415  torch takes seconds to import; --help should not

    options = ScoreOptions.checked(**values)
    staged: StagedAccuracies | None = None
    if accuracies is not None:  # read first: a bad file should not wait for the end of a long run
        if len(options.space) > 1:
            raise SettingsError(
                "--accuracies belongs to one space; score with one --space, or use `naswot-ray join` afterwards"
            )
        staged = _staged(options.space[0], accuracies, mapping)
    elif mapping:
        raise SettingsError("--map says how to read --accuracies, which is not given")
    record = score_spaces(options)
    dataset = open_dataset(options.output)
    console.print_run(stdout, dataset, record)
    if staged is not None:
        add_accuracies(dataset, staged)
        console.print_join(stdout, join_space(dataset, staged.space))
    console.print_summary(stdout, dataset)
    if record.counts.get(STATUS_FAILED):
        raise typer.Exit(EXIT_PARTIAL)


@reporting_errors
def join(
    dataset_path: DatasetPath,
    accuracies: Accuracies = None,
    mapping: Mapping = None,
    space: Annotated[str | None, typer.Option(help="Space to join. Default: the one that has scores.")] = None,
) -> None:
    """Join scores with trained accuracies.

    Adds --accuracies to the dataset if given, then writes joined/: a row for each score and mean accuracy. Architectures
    that only one side has are counted and listed.

    Example: naswot-ray join scores --accuracies NATS-tss-v1_0-3ffb9-simple
    """
    dataset = open_dataset(dataset_path)
    space = space or only_space(dataset)
    check_name(space)
    if accuracies is not None:
        add_accuracies(dataset, _staged(space, accuracies, mapping))
    elif mapping:
        raise SettingsError("--map says how to read --accuracies, which is not given")
    console.print_join(stdout, join_space(dataset, space))
    console.print_summary(stdout, dataset)


@reporting_errors
def import_accuracies(
    space: Annotated[str, typer.Argument(help="Space that the accuracies belong to.", metavar="SPACE")],
    file: Annotated[
        str, typer.Argument(help="An official benchmark file, or a .parquet or .csv table.", metavar="FILE"), INPUT
    ],
    dataset_path: Annotated[str, typer.Option("--dataset", help="Dataset to add them to.", metavar="PATH"), OUTPUT],
    mapping: Mapping = None,
) -> None:
    """Import trained accuracies from a benchmark's official file into a dataset.

    Example: naswot-ray accuracies nasbench101 nasbench_only108.tfrecord --dataset scores
    """
    check_name(space)
    dataset = open_dataset(dataset_path)
    staged = _staged(space, file, mapping)
    add_accuracies(dataset, staged)
    console.print_accuracies(stdout, staged)


def _staged(space: str, source: str, mapping: list[str] | None) -> StagedAccuracies:
    with ConsoleProgress() as progress:
        path = local_path(source, progress.reader(source))
        table = read_accuracies(space, path, mapping or (), progress.reader(path.name))
        return stage(table)
