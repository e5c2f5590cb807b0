"""The command `info`: what does a dataset hold, and what is missing?"""

from __future__ import annotations

import typer

from naswot_ray import console
from naswot_ray.cli.app import EXIT_PARTIAL, DatasetPath, reporting_errors, stdout
from naswot_ray.dataset.dataset import open as open_dataset


@reporting_errors
def info(dataset_path: DatasetPath) -> None:
    """List what a dataset holds and what is missing from its grid.

    Exit status 1 if rows that a run was asked for are missing or failed, if a part cannot be trusted, or if a join is
    unfinished.
    """
    if not console.print_info(stdout, open_dataset(dataset_path)):
        raise typer.Exit(EXIT_PARTIAL)
