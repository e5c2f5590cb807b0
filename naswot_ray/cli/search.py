"""The command `search`, which searches for good architectures."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated

import pyarrow as pa
import typer
from rich.progress import track

from naswot_ray.cli.app import only_space, reporting_errors, stderr, stdout
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.dataset import open as open_dataset
from naswot_ray.dataset.inputs import local_option, local_path
from naswot_ray.dataset.label import Label
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import SettingsError
from naswot_ray.measures import all_measures
from naswot_ray.paths import INPUT, OUTPUT, SPACE_OPTION
from naswot_ray.spaces import Space, check_name, open_spaces

if TYPE_CHECKING:
    from naswot_ray.search.criterion import Criterion
    from naswot_ray.search.live_scores import Map
    from naswot_ray.search.problem import Problem
    from naswot_ray.search.results import Contestant
    from naswot_ray.search.simulation import Lookup


MAX_RUNS = 1_000_000
"""The largest number of runs of each algorithm, since their rows are kept in memory."""


class AlgorithmName(StrEnum):
    """The algorithms to search with."""

    SAMPLE = "sample"
    LOCAL_SEARCH = "local-search"
    RANDOM = "random"
    REA = "rea"
    AREA = "area"


@reporting_errors
def search(
    dataset_path: Annotated[
        str | None,
        typer.Argument(metavar="[DATASET]", help="Dataset with scores and accuracies. --live does not need one."),
        OUTPUT,
    ] = None,
    algorithm: Annotated[list[AlgorithmName], typer.Option(help="Repeat for several.")] = [AlgorithmName.SAMPLE],  # noqa: B006
    measure: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Measure, rank sum or baseline by which sample, local-search and area score. Default: naswot, or the "
            "dataset's first measure that has values.",
        ),
    ] = None,
    space: Annotated[str | None, typer.Option(metavar="TEXT", help="Search space. Default: the dataset's only one.")] = None,
    images: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Image source of the scores. Default: the only one.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Batch size of the scores. Default: the largest; 128 with --live.")
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Accuracy to report for the result, DATASET/SPLIT/EPOCHS. Default: cifar10/test with the most epochs.",
        ),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="Accuracy by which random, rea and area choose, after training, DATASET/SPLIT/EPOCHS."
        ),
    ] = None,
    samples: Annotated[
        list[int] | None,
        typer.Option(
            min=1, metavar="N", help="Number of architectures that sample and local-search score; repeat for several."
        ),
    ] = None,
    trainings: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="N", help="Number of architectures that random, rea and area train; repeat for several."),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=0, metavar="X", help="Simulated seconds for random, rea and area, instead of --trainings or besides."),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_RUNS, metavar="N", help="Number of runs of each algorithm. Default: 500; 1 with --live."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed of the simulated runs.")] = 0,
    live: Annotated[bool, typer.Option("--live", help="Compute the scores during the search.")] = False,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="With --live: Ray cluster that scores, HOST:PORT or auto, or local for all CPUs of this machine. "
            "Default: RAY_ADDRESS, or else this process alone.",
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="PATH", help="With --live: directory with the images."), INPUT] = None,
    space_option: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Parameter of the space, PARAMETER=VALUE."), SPACE_OPTION
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="PATH", help="Folder for search.parquet, .md, .svg and .png."),
        OUTPUT,
    ] = None,
) -> None:
    """Search for architectures: by score, by simulated training, or both.

    Run i uses the scores of the dataset's i-th seed, and begins again when there are no more seeds. Singular and failed
    architectures rank last.

    Example: naswot-ray search scores --algorithm sample --algorithm rea --select cifar10-valid/valid/12 --seconds 12000
    """
    from naswot_ray.search import algorithms, results, simulation  # noqa: PLC0415  --help should not wait for numpy
    from naswot_ray.search.criterion import get_criterion  # noqa: PLC0415
    from naswot_ray.search.problem import Budget  # noqa: PLC0415

    key, selected = (None if text is None else Label.parse(text) for text in (report, select))
    if dataset_path is None and not live:
        raise SettingsError("name a dataset to search, or give --live")
    folder = None if output is None else Storage(output)
    if folder is not None and not folder.is_empty():
        raise SettingsError(f"{folder.address.name} exists and is not empty; name another folder")
    dataset = None if dataset_path is None else open_dataset(dataset_path)
    opened = _open_space(dataset, space, space_option or [])
    if live:
        criterion = get_criterion(measure or simulation.DEFAULT, tuple(all_measures()))
        known = None if dataset is None else _read_accuracies(dataset, opened, key, selected)
        problem_of = _live(known, opened, criterion, images or "noise", batch_size or 128, data, address)
    else:
        assert dataset is not None
        criterion = simulation.choose_criterion(dataset, opened, measure)
        point = simulation.choose_scores(dataset, opened, criterion, images, batch_size)
        known = simulation.read(dataset, opened, criterion, *point, reported=key, selected=selected)
        problem_of = _simulated(known)
    if seconds is not None and selected is not None and known is not None and known.training_seconds is None:
        raise SettingsError(f"the training times of {selected} are not known: give --trainings instead of --seconds")
    budgets_of_training = [Budget(trainings=n, seconds=seconds) for n in trainings or []]
    if seconds is not None and not trainings:
        budgets_of_training = [Budget(seconds=seconds)]
    contestants: list[Contestant] = []
    for name in dict.fromkeys(algorithm):
        scoring = name.value in algorithms.SCORING
        if not scoring and (selected is None or not budgets_of_training):
            raise SettingsError(
                f"{name.value} trains: give the accuracy that it chooses by with --select, and --trainings or --seconds"
            )
        budgets = [Budget(scores=n) for n in samples or [100]] if scoring else budgets_of_training
        scored_by = criterion.name if name.value in algorithms.USING_SCORES else None
        contestants += [results.Contestant(name.value, scored_by, budget) for budget in budgets]

    found, all_rows = [], []
    total = runs or (1 if live else results.PUBLISHED_RUNS)
    for contestant in contestants:
        rows, exhausted = [], False
        numbers = track(range(total), contestant.label, console=stderr, disable=not stderr.is_terminal)
        for number in numbers:
            problem = problem_of(number)
            done = algorithms.run(contestant.algorithm, problem, contestant.budget, seed=seed, number=number)
            rows += results.rows_of(contestant, number, problem, done)
            exhausted |= done.exhausted
        found.append(results.summarise(contestant, rows, exhausted=exhausted))
        all_rows.append((found[-1], rows))
    setting = results.Setting(
        space=opened.name,
        space_size=len(opened),
        num_known=len(opened) if live or known is None else len(known.indices),
        num_failed=0 if live or known is None else known.num_failed,
        measure=criterion,
        images=images or "noise" if live or known is None else known.images,
        batch_size=batch_size or 128 if live or known is None else known.batch_size,
        score_seeds=None if live or known is None else known.seeds,
        reported=None if known is None else known.reported_key,
        selected=None if known is None or all(c.algorithm in algorithms.SCORING for c in contestants) else known.selected_key,
        times_known=known is None or known.selected is None or known.training_seconds is not None,
        num_runs=total,
        seed=seed,
        source=None if dataset is None else dataset.storage.root,
    )
    text = results.markdown(found, setting)
    stdout.print(text, end="")
    if total == 1:
        for result, rows in all_rows:
            stdout.print(f"{result.label}: {rows[-1]['arch_id']}")
    if folder is not None:
        flat = [row for _, rows in all_rows for row in rows]
        table = pa.Table.from_pylist(flat, results.SCHEMA.with_metadata(setting.metadata()))
        folder.write_table(PurePosixPath("search.parquet"), table)
        folder.write_bytes(PurePosixPath("search.md"), text.encode())
        if all(row["accuracy"] is not None for row in flat):
            from naswot_ray.search.figure import draw  # noqa: PLC0415  matplotlib takes a second

            for suffix, content in draw(all_rows, setting).items():
                folder.write_bytes(PurePosixPath(f"search{suffix}"), content)
        stdout.print(f"written to {folder.address.name}")


def _open_space(dataset: Dataset | None, name: str | None, options: list[str]) -> Space:
    if name is None:
        if dataset is None:
            raise SettingsError("give the space to search with --space")
        name = only_space(dataset)
    check_name(name)
    return open_spaces([name], [local_option(option) for option in options])[name]


def _simulated(lookup: Lookup) -> Callable[[int], Problem]:
    from naswot_ray.search.simulation import SimulatedProblem  # noqa: PLC0415

    problems = [SimulatedProblem(lookup, number) for number in range(len(lookup.seeds))]
    return lambda run: problems[run % len(problems)]


def _live(
    lookup: Lookup | None,
    space: Space,
    criterion: Criterion,
    images: str,
    batch_size: int,
    data: str | None,
    address: str | None,
) -> Callable[[int], Problem]:
    from naswot_ray.images.source import load_images  # noqa: PLC0415  torch takes seconds to import
    from naswot_ray.search.live_scores import LiveProblem  # noqa: PLC0415
    from naswot_ray.search.simulation import SimulatedProblem  # noqa: PLC0415

    source = load_images(images, None if data is None else local_path(data))
    known = None if lookup is None else SimulatedProblem(lookup, 0)
    mapping = map if address is None and "RAY_ADDRESS" not in os.environ else _connect(address)
    return lambda run: LiveProblem(space, criterion, source.batch(batch_size, run), run, known, mapping)


def _connect(address: str | None) -> Map:
    from naswot_ray.run import ray_environment  # noqa: PLC0415

    resolved = ray_environment.resolve(address)
    ray_environment.prepare(resolved)
    from naswot_ray.run import ray_map, ray_pool  # noqa: PLC0415  after `prepare`

    ray_pool.connect(resolved)
    return ray_map.ray_map


def _read_accuracies(dataset: Dataset, space: Space, key: Label | None, selected: Label | None) -> Lookup:
    """Read a dataset's accuracies for a live search. The search does not use its scores, so any of them will do."""
    from naswot_ray.search import simulation  # noqa: PLC0415

    criterion = simulation.choose_criterion(dataset, space)
    some = simulation.list_scores(dataset, space, criterion)[0]
    return simulation.read(dataset, space, criterion, *some, reported=key, selected=selected)
