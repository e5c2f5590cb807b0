"""The command `check`."""

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
            help="Move files to removed/ that are broken, or whose rows all lie in a file that is right. Nothing is deleted.",
        ),
    ] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete removed/, with all that earlier runs and checks moved there.")
    ] = False,
) -> None:
    """Read every file of a dataset and tell what is missing, duplicate, corrupt, foreign or of other settings.

    Exit status 1 if there is anything of the kind. What --repair moves is listed, and scored again by the next run.

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
