"""The command `report`, which writes an HTML page."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

import typer
from rich.filesize import decimal

from naswot_ray import console
from naswot_ray.cli.app import DatasetPath, reporting_errors, stdout
from naswot_ray.cli.options import Measure
from naswot_ray.cli.output import check_free
from naswot_ray.dataset.address import split
from naswot_ray.dataset.dataset import open as open_dataset
from naswot_ray.dataset.join import check_whole
from naswot_ray.dataset.storage import Storage
from naswot_ray.grid.coverage import contents_of
from naswot_ray.paths import OUTPUT, without_credentials


@reporting_errors
def report(
    dataset_path: DatasetPath,
    output: Annotated[str, typer.Option("--output", "-o", metavar="PATH", help="HTML file to write."), OUTPUT],
    measure: Measure = None,
) -> None:
    """Write an HTML page about a dataset: plot, table, cells, correlations, measures and coverage. It needs no network.

    Example: naswot-ray report scores -o report.html
    """
    from naswot_ray.report.contents import GridCount  # noqa: PLC0415  scipy takes a second to import
    from naswot_ray.report.page import make_page  # noqa: PLC0415  plotly

    dataset = open_dataset(dataset_path)
    check_whole(dataset)
    check_free(output)
    if measure is not None:
        dataset.check_measure(measure)
    contents = contents_of(dataset)
    grid = [
        GridCount(point.space, point.batch.images, point.batch.batch_size, point.batch.seed, c.wanted, c.present, c.failed)
        for point, c in contents.coverage.items()
        if point.batch is not None and c.wanted
    ]
    page = make_page(dataset, grid, contents.holdings, measure).encode()
    folder, name = split(output)
    Storage(folder).write_bytes(PurePosixPath(name), page)
    console.print_stale_joins(stdout, dataset)
    stdout.print(f"{without_credentials(output)}: {decimal(len(page))}; open it in a browser")
