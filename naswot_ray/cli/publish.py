"""The command `publish`, which prepares a dataset for other people."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.filesize import decimal
from rich.progress import Progress

from naswot_ray import console
from naswot_ray.cli.app import EXIT_PARTIAL, DatasetPath, reporting_errors, stderr, stdout
from naswot_ray.dataset.dataset import open as open_dataset
from naswot_ray.paths import LOCAL_OUTPUT
from naswot_ray.publish.compaction import FileFormat
from naswot_ray.publish.publish import Publication, publish
from naswot_ray.publish.upload import check_ready, upload


@reporting_errors
def publish_dataset(
    dataset_path: DatasetPath,
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="DIR", help="Folder to write: it must be empty, or not exist yet."),
        LOCAL_OUTPUT,
    ],
    file_format: Annotated[
        FileFormat, typer.Option("--format", help="File format: compressed Parquet, or Arrow files for memory-mapping.")
    ] = FileFormat.PARQUET,
    include_accuracies: Annotated[
        bool,
        typer.Option("--include-accuracies", help="Also publish third parties' accuracies, with their source and licence."),
    ] = False,
    push: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME", help="Upload to this dataset repository of the Hugging Face Hub. It is created if necessary."
        ),
    ] = None,
) -> None:
    """Publish a dataset as a few sorted files, with a card, a quality report, Croissant metadata and digests.

    The exit status is 1 if rows are missing. The card and the report say how many.

    Example: naswot-ray publish scores -o published
    """
    dataset = open_dataset(dataset_path)
    if push is not None:
        check_ready(push)
    with Progress(console=stderr, disable=not stderr.is_terminal, transient=True) as bar:
        task = bar.add_task("checking")
        publication = publish(
            dataset,
            output,
            file_format=file_format,
            include_accuracies=include_accuracies,
            repository=push,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    _print(publication)
    console.print_stale_joins(stdout, dataset)
    if push is not None:
        stdout.print(f"uploaded: {upload(publication.folder, push)}")
    if not publication.quality.complete:
        raise typer.Exit(EXIT_PARTIAL)


def _print(publication: Publication) -> None:
    for table in publication.tables:
        files = f"{len(table.paths)} file{'s' if len(table.paths) != 1 else ''}"
        stdout.print(f"{table.config}: {table.num_rows:,} rows in {files}")
    stdout.print(
        f"{publication.folder}: {decimal(publication.num_bytes)}; README.md describes it, and quality.md reports on its quality"
    )
    quality = publication.quality
    if not quality.complete:
        stdout.print(
            f"INCOMPLETE: {quality.missing()}; the card says so; run the same `naswot-ray score` command again to fill them"
        )
    for found in quality.tau:
        if found.inside is False:
            stdout.print(
                f"tau of {found.measure} is outside the published band: {found.space}, {found.trained_on}, {found.images} "
                f"images, batch size {found.batch_size}: {found.tau.value:.3f}"
            )
