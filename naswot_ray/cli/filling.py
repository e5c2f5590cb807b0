"""Commands that fill a dataset: `score`, `join`, `accuracies`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from naswot_ray import console
from naswot_ray.benchmarks.members import Members, members_in, members_of
from naswot_ray.benchmarks.reading import read_accuracies, told_space
from naswot_ray.cli.app import EXIT_PARTIAL, DatasetPath, only_space, reporting_errors, stdout, with_options
from naswot_ray.dataset import layout
from naswot_ray.dataset.accuracies import StagedAccuracies, add_accuracies, check_addition, compare, stage
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.dataset import open as open_dataset
from naswot_ray.dataset.inputs import local_path
from naswot_ray.dataset.join import join as join_space
from naswot_ray.dataset.join import spaces_to_join
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import BenchmarkError, DatasetError, SettingsError
from naswot_ray.fetch.progress import ConsoleProgress
from naswot_ray.paths import INPUT, OUTPUT, is_uri
from naswot_ray.run.options import ScoreOptions
from naswot_ray.spaces import check_name, open_spaces
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


Replace = Annotated[
    bool,
    typer.Option(
        "--replace",
        help="Put the table's accuracies in the place of those of the same dataset, split and epochs; all others stay.",
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
        (space,) = open_spaces(options.space, options.space_option).values()
        staged = _staged(space.name, accuracies, mapping, lambda: members_of(space))
        if Storage(options.output).exists(layout.MANIFEST):
            there = open_dataset(options.output)
            check_addition(there, staged, compare(there, staged))
    elif mapping:
        raise SettingsError("--map says how to read --accuracies, which is not given")
    record = score_spaces(options)
    dataset = open_dataset(options.output)
    console.print_run(stdout, dataset, record)
    if staged is not None:
        add_accuracies(dataset, staged)
        console.print_join(stdout, join_space(dataset, staged.space))
    console.print_summary(stdout, dataset)
    if record.state is None or not record.state.is_whole:
        raise typer.Exit(EXIT_PARTIAL)


@reporting_errors
def join(
    dataset_path: DatasetPath,
    accuracies: Accuracies = None,
    mapping: Mapping = None,
    space: Annotated[str | None, typer.Option(help="Space to join. Default: all with scores and accuracies.")] = None,
    replace: Replace = False,
) -> None:
    """Join scores with trained accuracies.

    Adds --accuracies to the dataset if given, then writes joined/: a row for each score and mean accuracy. Architectures
    that only one side has are counted and listed.

    Example: naswot-ray join scores --accuracies NATS-tss-v1_0-3ffb9-simple
    """
    dataset = open_dataset(dataset_path)
    if space is not None:
        check_name(space)
    if accuracies is not None:
        name = space or _space_of(dataset, accuracies)
        staged = _staged(name, accuracies, mapping, lambda: members_in(dataset, name))
        addition = add_accuracies(dataset, staged, replace=replace)
        if addition.different:
            console.print_accuracies(stdout, staged, addition)
    elif mapping:
        raise SettingsError("--map says how to read --accuracies, which is not given")
    elif replace:
        raise SettingsError("--replace is about --accuracies, which is not given")
    _join(dataset, space)
    console.print_summary(stdout, dataset)


@reporting_errors
def import_accuracies(
    space: Annotated[str, typer.Argument(help="Space that the accuracies belong to.", metavar="SPACE")],
    file: Annotated[
        str, typer.Argument(help="An official benchmark file, or a .parquet or .csv table.", metavar="FILE"), INPUT
    ],
    dataset_path: Annotated[str, typer.Option("--dataset", help="Dataset to add them to.", metavar="PATH"), OUTPUT],
    mapping: Mapping = None,
    replace: Replace = False,
) -> None:
    """Import trained accuracies from a benchmark's official file into a dataset.

    Every arch_id must be an architecture of the space. What the dataset holds already is left alone, other accuracies of the
    same dataset, split and epochs are refused unless --replace is given.

    Example: naswot-ray accuracies nasbench101 nasbench_only108.tfrecord --dataset scores
    """
    check_name(space)
    dataset = open_dataset(dataset_path)
    staged = _staged(space, file, mapping, lambda: members_in(dataset, space))
    console.print_accuracies(stdout, staged, add_accuracies(dataset, staged, replace=replace))
    console.print_stale_joins(stdout, dataset)


def _join(dataset: Dataset, space: str | None) -> None:
    """Join one space, or all that have scores and accuracies, and tell what was found.

    Raises:
        DatasetError: there is nothing to join, or no architecture of a space has both; its other spaces are joined first.
    """
    joinable, only_scored = spaces_to_join(dataset)
    if space is None and not joinable and len(only_scored) != 1:
        spaces = ", ".join(only_scored or sorted(dataset.manifest.settings.spaces))
        what = "accuracies" if only_scored else "scores"
        raise DatasetError(f"{dataset.storage.root} holds no {what} of {spaces}: nothing to join")
    failures = []
    for name in [space] if space else joinable or only_scored:
        try:
            console.print_join(stdout, join_space(dataset, name))
        except DatasetError as error:
            failures.append(str(error))
    if failures:
        raise DatasetError("; ".join(failures))
    if space is None:
        for name in only_scored:
            stdout.print(f"{name}: no accuracies, not joined: add some with `naswot-ray accuracies {name}`")


def _space_of(dataset: Dataset, source: str) -> str:
    """The space that an accuracies file is of, where nobody says: the dataset's only one, or of several the file's own.

    Raises:
        SettingsError: neither the dataset nor the file tells.
    """
    spaces = dataset.manifest.settings.spaces
    told = told_space(Path(source)) if len(spaces) > 1 and not is_uri(source) else None
    return told if told is not None and told in spaces else only_space(dataset)


def _staged(space: str, source: str, mapping: list[str] | None, members: Callable[[], Members]) -> StagedAccuracies:
    """Accuracies read to their end, each of a known architecture; tells on the standard error what looks wrong."""
    with ConsoleProgress() as progress:
        path = local_path(source, progress.reader(source))
        if not path.exists():
            raise BenchmarkError(f"{path} does not exist")
        known = members()
        table = read_accuracies(space, path, mapping or (), progress.reader(path.name), known)
        staged = stage(table)
    for line in (*([known.note] if known.note else []), *staged.warnings):
        complain(f"warning: {line}")
    return staged
