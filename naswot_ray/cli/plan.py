"""The command `plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from naswot_ray import console
from naswot_ray.cli.app import DatasetPath, reporting_errors, stdout
from naswot_ray.dataset.dataset import open as open_dataset
from naswot_ray.grid.plans import list_plans, withdraw


@reporting_errors
def plan(
    dataset_path: DatasetPath,
    withdrawn: Annotated[
        list[str] | None,
        typer.Option(
            "--withdraw",
            metavar="RUN_ID",
            help="A run whose rows the dataset is not meant to hold after all, with all runs that asked for the same; repeat "
            "for several.",
        ),
    ] = None,
) -> None:
    """Tell what a dataset is meant to hold, and take plans back.

    Every run of `score` plans the rows that it was asked for, and `info`, `check` and `publish` miss those that are not there.
    Withdraw the plan of a run that was mistyped or will not be finished; rows that are there stay. To plan them again, run
    `score` again.

    Example: naswot-ray plan scores --withdraw 20260101T120000-1a2b3c4d
    """
    dataset = open_dataset(dataset_path)
    if withdrawn:
        withdraw(dataset, withdrawn)
    console.print_plans(stdout, list_plans(dataset))
