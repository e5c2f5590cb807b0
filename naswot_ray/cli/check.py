"""The command `check`: is every file of a dataset as it was written?"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import track

from naswot_ray import console
from naswot_ray.cli.app import EXIT_PARTIAL, DatasetPath, reporting_errors, stderr, stdout
from naswot_ray.dataset import removed_files
from naswot_ray.dataset.agreement import check_agreement
from naswot_ray.dataset.check import check_files, check_folders, list_files, set_aside
from naswot_ray.dataset.dataset import open as open_dataset


@reporting_errors
def check(
    dataset_path: DatasetPath,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Move broken files, and files whose rows are all in a correct file too, to removed/. Nothing is deleted.",
        ),
    ] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete removed/ and everything that earlier runs and checks moved there.")
    ] = False,
) -> None:
    """Read every file of a dataset and list what is missing, duplicate, corrupt, foreign or of other settings.

    The exit status is 1 if there is any of these. Files that --repair moves away are listed, and the next run scores their rows
    again.

    Example: naswot-ray check scores
    """
    dataset = open_dataset(dataset_path)
    files = list_files(dataset)
    found = track(check_files(dataset, files), "checking", total=len(files), console=stderr, disable=not stderr.is_terminal)
    problems = [*check_folders(dataset), *(problem for of_file in found for problem in of_file)]
    problems += check_agreement(dataset, {problem.path for problem in problems})
    stdout.print(f"{dataset.storage.root}: {len(files):,} files")
    moved = set_aside(dataset, problems, files) if repair else {}
    good = console.print_check(stdout, dataset, problems, moved)
    deleted = removed_files.purge(dataset.storage) if purge else []
    console.print_removed(stdout, removed_files.list_removed(dataset.storage), deleted)
    if not good:
        raise typer.Exit(EXIT_PARTIAL)
