"""The command `figures`, which plots a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from naswot_ray import console
from naswot_ray.cli.app import DatasetPath, reporting_errors, stderr, stdout
from naswot_ray.cli.options import Measure
from naswot_ray.dataset.dataset import open as open_dataset
from naswot_ray.dataset.join import check_whole
from naswot_ray.dataset.schema import BASELINES
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import SettingsError
from naswot_ray.paths import INPUT, OUTPUT

if TYPE_CHECKING:
    from naswot_ray.analysis.columns import Points
    from naswot_ray.analysis.figures.selection import ScoredKernel


@reporting_errors
def figures(
    dataset_path: DatasetPath,
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="PATH", help="Folder for the figures. Each is written as SVG and PNG."),
        OUTPUT,
    ],
    measure: Measure = None,
    colour: Annotated[
        str, typer.Option(metavar="COLUMN", help=f"Baseline that colours the scatter plot: {', '.join(BASELINES)}.")
    ] = "params",
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Directory with the images that the dataset was scored on. The figure of kernels needs it: the dataset holds "
            "no kernels, so nine networks are scored again. Noise needs none.",
        ),
        INPUT,
    ] = None,
) -> None:
    """Plot a dataset: a measure against accuracy, its rank correlation by batch size, and kernel matrices.

    Example: naswot-ray figures scores -o figures --data ~/.cache/naswot-ray/cifar10
    """
    from naswot_ray.analysis.figures.selection import draw_figures  # noqa: PLC0415  matplotlib takes a second to import
    from naswot_ray.analysis.figures.style import render  # noqa: PLC0415

    if colour not in BASELINES:
        raise SettingsError(f"--colour {colour}: expected one of {', '.join(BASELINES)}")
    dataset = open_dataset(dataset_path)
    check_whole(dataset)
    if measure is not None:
        dataset.check_measure(measure)
    folder = Storage(output)

    def kernels(points: Points, batch_size: int, arch_ids: Sequence[str]) -> list[ScoredKernel] | None:
        if points.images != "noise" and data is None:
            stderr.print(f"{points.space}-{points.images}-kernels left out: give the folder of the images with --data")
            return None
        from naswot_ray.audit.kernels import recompute_kernels  # noqa: PLC0415  torch takes seconds to import

        return list(recompute_kernels(dataset, points.space, points.images, batch_size, arch_ids, data))

    num_drawn = num_left_out = 0
    for name, figure in draw_figures(dataset, measure, colour, kernels):
        if figure is None:
            num_left_out += 1
            stderr.print(f"{name} left out: no row has a value to plot")
            continue
        num_drawn += 1
        for suffix, content in render(figure).items():
            folder.write_bytes(PurePosixPath(name + suffix), content)
        stdout.print(folder.path(PurePosixPath(f"{name}.svg")))
    console.print_stale_joins(stdout, dataset)
    if num_left_out and not num_drawn:
        raise SettingsError(f"{dataset.storage.root} has no value of {measure or 'any measure'} to plot")
    if not num_drawn:
        raise SettingsError(
            f"{dataset.storage.root} holds no accuracies to plot values against: add some with `naswot-ray join`"
        )
