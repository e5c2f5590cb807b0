"""The command `info`."""

from __future__ import annotations

import typer

from naswot_ray import console
from naswot_ray.cli.app import EXIT_PARTIAL, DatasetPath, reporting_errors, stdout
from naswot_ray.dataset.dataset import open as open_dataset


@reporting_errors
def info(dataset_path: DatasetPath) -> None:
    """Tell what a dataset holds, and what is missing from its grid.

    Exit status 1 if rows that some run was to score are missing.
    """
    if not console.print_info(stdout, open_dataset(dataset_path)):
        raise typer.Exit(EXIT_PARTIAL)
