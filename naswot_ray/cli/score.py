"""The command `score`, which scores search spaces."""

from __future__ import annotations

from typing import Any

import typer

from naswot_ray import console
from naswot_ray.benchmarks.members import members_of
from naswot_ray.cli.app import EXIT_PARTIAL, reporting_errors, stdout, with_options
from naswot_ray.cli.options import Accuracies, Mapping, read_staged
from naswot_ray.dataset import layout
from naswot_ray.dataset.accuracies import StagedAccuracies, add_accuracies, check_addition, compare
from naswot_ray.dataset.dataset import open as open_dataset
from naswot_ray.dataset.join import join
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import SettingsError
from naswot_ray.run.options import ScoreOptions
from naswot_ray.spaces import open_spaces


@reporting_errors
@with_options(ScoreOptions)
def score(accuracies: Accuracies = None, mapping: Mapping = None, **values: Any) -> None:
    """Score search spaces and write a dataset.

    To resume, run the same command again: it keeps the rows that exist and scores the rest. More batch sizes, seeds, spaces,
    image sources or measures extend the dataset. With --accuracies, the scores are joined with trained accuracies at the end.

    Example: naswot-ray score -o scores --batch-size 32 --batch-size 128 --seed 0 --seed 1 --images cifar10 --data ~/cifar
    """
    from naswot_ray.run.job import score_spaces  # noqa: PLC0415  torch takes seconds to import; --help should not

    options = ScoreOptions.checked(**values)
    staged: StagedAccuracies | None = None
    if accuracies is not None:  # read it first: a bad file should not be noticed only after a long run
        if len(options.space) > 1:
            raise SettingsError("--accuracies belongs to one space: give one --space, or run `naswot-ray join` afterwards")
        (space,) = open_spaces(options.space, options.space_option).values()
        staged = read_staged(space.name, accuracies, mapping, lambda: members_of(space))
        if Storage(options.output).exists(layout.MANIFEST):
            there = open_dataset(options.output)
            check_addition(there, staged, compare(there, staged))
    elif mapping:
        raise SettingsError("--map says how to read --accuracies: give that as well")
    if options.in_process:
        from naswot_ray.run.process import dedicate_process  # noqa: PLC0415  torch

        dedicate_process(options.cpus_per_actor)
    record = score_spaces(options)
    dataset = open_dataset(options.output)
    console.print_run(stdout, dataset, record)
    if staged is not None:
        add_accuracies(dataset, staged)
        console.print_join(stdout, join(dataset, staged.space))
    console.print_summary(stdout, dataset)
    if record.state is None or not record.state.is_whole:
        raise typer.Exit(EXIT_PARTIAL)
