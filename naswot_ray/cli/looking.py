"""Commands that make something to look at: `figures`, `report`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

import naswot_ray
from naswot_ray import console
from naswot_ray.cli.app import DatasetPath, reporting_errors, stderr, stdout
from naswot_ray.cli.reading import check_free
from naswot_ray.dataset.address import split
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.dataset import open as open_dataset
from naswot_ray.dataset.join import check_whole
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import SettingsError
from naswot_ray.grid.coverage import coverage_of
from naswot_ray.paths import INPUT, OUTPUT, without_credentials

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from naswot_ray.analysis.columns import Points

COLOURS = ("params", "flops", "num_layers", "num_relus")


@reporting_errors
def figures(
    dataset_path: DatasetPath,
    output: Annotated[str, typer.Option("--output", "-o", metavar="PATH", help="Folder to write to, as SVG and PNG."), OUTPUT],
    colour: Annotated[str, typer.Option(metavar="COLUMN", help=f"What colours the scatter: {', '.join(COLOURS)}.")] = "params",
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Directory with the images that the dataset was scored on. The figure of kernels, which the dataset does not "
            "hold, scores nine networks again and needs them (noise needs none).",
        ),
        INPUT,
    ] = None,
) -> None:
    """Draw a dataset's figures: score against accuracy, rank correlation by batch size, kernel matrices.

    Example: naswot-ray figures scores -o figures --data ~/.cache/naswot-ray/cifar10
    """
    from naswot_ray.analysis.figures.style import render  # noqa: PLC0415  matplotlib takes a second to import

    if colour not in COLOURS:
        raise SettingsError(f"--colour {colour}: there are {', '.join(COLOURS)}")
    dataset = open_dataset(dataset_path)
    check_whole(dataset)
    folder = Storage(output)
    num_drawn = 0
    for name, figure in _figures(dataset, colour, data):
        num_drawn += 1
        for suffix, content in render(figure).items():
            folder.write_bytes(PurePosixPath(name + suffix), content)
        stdout.print(folder.path(PurePosixPath(f"{name}.svg")))
    console.print_stale_joins(stdout, dataset)
    if not num_drawn:
        raise SettingsError(
            f"{dataset.storage.root} holds no accuracies to draw scores against: add some with `naswot-ray join`"
        )


@reporting_errors
def report(
    dataset_path: DatasetPath,
    output: Annotated[str, typer.Option("--output", "-o", metavar="PATH", help="HTML file to write."), OUTPUT],
) -> None:
    """Write one HTML page that shows a dataset: plot, table, cells, correlations, coverage. It needs no network.

    Example: naswot-ray report scores -o report.html
    """
    from naswot_ray.report.contents import GridCount  # noqa: PLC0415  scipy takes a second to import
    from naswot_ray.report.page import make_page  # noqa: PLC0415  plotly

    dataset = open_dataset(dataset_path)
    check_whole(dataset)
    check_free(output)
    grid = [
        GridCount(point.space, point.batch.images, point.batch.batch_size, point.batch.seed, c.wanted, c.present, c.failed)
        for point, c in coverage_of(dataset).items()
        if point.batch is not None and c.wanted
    ]
    page = make_page(dataset, grid).encode()
    folder, name = split(output)
    Storage(folder).write_bytes(PurePosixPath(name), page)
    console.print_stale_joins(stdout, dataset)
    stdout.print(f"{without_credentials(output)}: {decimal(len(page))}; open it in a browser")


def _figures(dataset: Dataset, colour: str, data: str | None) -> Iterator[tuple[str, Figure]]:
    """Name -> figure, of every space that has accuracies."""
    from naswot_ray.analysis.columns import list_points, load_points, seed_scores  # noqa: PLC0415  scipy
    from naswot_ray.analysis.figures.batch_sizes import draw_batch_sizes  # noqa: PLC0415  matplotlib
    from naswot_ray.analysis.figures.scatter import draw_scatter  # noqa: PLC0415

    for space, images in list_points(dataset):
        points = load_points(dataset, space, images)
        accuracy = points.main_accuracy
        if accuracy is None:
            continue
        name = f"{space}-{images}"
        yield f"{name}-scatter", draw_scatter(points, points.main_score, accuracy, points.columns[colour])
        if len(points.of_kind("score")) > 1:
            yield f"{name}-batch-sizes", draw_batch_sizes(points, seed_scores(dataset, points))
        if images == "noise" or data is not None:
            yield f"{name}-kernels", _kernels(dataset, points, data)
        else:
            stderr.print(f"{name}-kernels left out: say where the images are with --data")


def _kernels(dataset: Dataset, points: Points, data: str | None) -> Figure:
    """The figure of kernels: its networks are scored as the dataset says."""
    from naswot_ray.analysis.columns import dataset_name  # noqa: PLC0415  scipy
    from naswot_ray.analysis.figures.kernels import Panel, choose_architectures, draw_kernels  # noqa: PLC0415  matplotlib
    from naswot_ray.audit.inputs import load_images_of, open_spaces_of  # noqa: PLC0415  torch takes seconds to import

    space = open_spaces_of(dataset, [points.space])[points.space]
    source = load_images_of(dataset, [points.images], data)[points.images]
    accuracy, score = points.main_accuracy, points.main_score
    assert accuracy is not None
    assert score.batch_size is not None
    batch = source.batch(score.batch_size, 0)
    panels: dict[str, list[Panel]] = {}
    for group, chosen in choose_architectures(points, accuracy).items():
        for arch_id, percent in chosen:
            result = naswot_ray.score(arch_id, batch, seed=0, space=space, return_kernel=True)
            assert result.kernel is not None
            panels.setdefault(group, []).append(Panel(result.kernel, result["naswot"], percent))
    images = dataset_name(points.images)
    note = f"{score.batch_size} {images} images, seed 0, in the order in which they are drawn · {accuracy.label}"
    return draw_kernels(panels, f"{points.space}: kernels of untrained networks", note)
