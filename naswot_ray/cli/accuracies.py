"""The command `accuracies`, which imports trained accuracies into a dataset."""

from __future__ import annotations

from typing import Annotated

import typer

from naswot_ray import console
from naswot_ray.benchmarks.members import members_in
from naswot_ray.cli.app import reporting_errors, stdout
from naswot_ray.cli.options import Mapping, Replace, read_staged
from naswot_ray.dataset.accuracies import add_accuracies
from naswot_ray.dataset.dataset import open as open_dataset
from naswot_ray.paths import INPUT, OUTPUT
from naswot_ray.spaces import check_name


@reporting_errors
def import_accuracies(
    space: Annotated[str, typer.Argument(help="Search space that the accuracies belong to.", metavar="SPACE")],
    file: Annotated[
        str, typer.Argument(help="An official benchmark file, or a .parquet or .csv table.", metavar="FILE"), INPUT
    ],
    dataset_path: Annotated[str, typer.Option("--dataset", help="Dataset to add the accuracies to.", metavar="PATH"), OUTPUT],
    mapping: Mapping = None,
    replace: Replace = False,
) -> None:
    """Import trained accuracies from a benchmark's official file into a dataset.

    Every arch_id must be an architecture of the space. Accuracies that the dataset already holds are left unchanged. Different
    accuracies for the same dataset, split and epochs are refused, unless --replace is given.

    Example: naswot-ray accuracies nasbench101 nasbench_only108.tfrecord --dataset scores
    """
    check_name(space)
    dataset = open_dataset(dataset_path)
    staged = read_staged(space, file, mapping, lambda: members_in(dataset, space))
    console.print_accuracies(stdout, staged, add_accuracies(dataset, staged, replace=replace))
    console.print_stale_joins(stdout, dataset)
