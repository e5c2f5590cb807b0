"""The command `plan`: which rows is a dataset meant to hold?"""

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
            help="Run whose rows the dataset is not meant to hold after all; repeat for several. All runs that asked for the "
            "same rows are withdrawn with it.",
        ),
    ] = None,
) -> None:
    """List which rows a dataset is meant to hold, and withdraw plans.

    Every run of `score` plans the rows that it was asked for. `info`, `check` and `publish` report planned rows that are
    missing. Withdraw the plan of a run that was mistyped or will not be finished. Rows that exist stay. To plan them again, run
    `score` again.

    Example: naswot-ray plan scores --withdraw 20260101T120000-1a2b3c4d
    """
    dataset = open_dataset(dataset_path)
    if withdrawn:
        withdraw(dataset, withdrawn)
    console.print_plans(stdout, list_plans(dataset))
