"""The command `analyse`: how well do a dataset's measures predict accuracy?"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated

import typer

from naswot_ray import console
from naswot_ray.analysis import files, markdown
from naswot_ray.analysis.analyse import Repeats
from naswot_ray.analysis.analyse import analyse as analyse_dataset
from naswot_ray.cli.app import DatasetPath, reporting_errors, stderr, stdout
from naswot_ray.dataset.dataset import open as open_dataset
from naswot_ray.dataset.storage import Storage
from naswot_ray.paths import OUTPUT


@reporting_errors
def analyse(
    dataset_path: DatasetPath,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="Folder for the tables, a path or URI. Default: NAME-analysis in this directory, after the dataset's name.",
        ),
        OUTPUT,
    ] = None,
    repeats: Annotated[
        Repeats,
        typer.Option(
            help="Which accuracy to use of an architecture that was trained several times. The published code takes max."
        ),
    ] = Repeats.MEAN,
) -> None:
    """Correlate every measure with accuracy, beside rank sums, trivial baselines and published figures.

    Needs joined rows (`naswot-ray join`). Writes analysis.md, analysis.parquet (one row per number) and stability.parquet,
    and prints the main tables. Replaces an earlier analysis of the same dataset and repeats.

    Example: naswot-ray analyse scores
    """
    dataset = open_dataset(dataset_path)
    source = dataset.storage.root
    default = f"{PurePosixPath(dataset.storage.address.name.rstrip('/')).name}-analysis"
    target = Storage(output or OUTPUT.settled(f"./{default}", "--output"))
    files.check_free(target, source, repeats)
    with stderr.status("analysing") if stderr.is_terminal else contextlib.nullcontext():
        analysis = analyse_dataset(dataset, repeats)
    files.write(analysis, target, source)
    for main in markdown.main_tables(markdown.Figures(analysis)):
        header, rows = main.table
        stdout.print("\n".join(filter(None, [main.title, main.published, _aligned([header, *rows])])) + "\n")
    for line in markdown.describe_missing(analysis):
        stdout.print(line)
    console.print_stale_joins(stdout, dataset)
    stdout.print("Kendall's tau of the mean over seeds with test accuracy, and the same given params and FLOPs (partial tau);")
    stdout.print(f"accuracy: {repeats} over repeats. All tables: {target.path(files.DOCUMENT)}")


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table as text, with aligned columns. A narrow terminal wraps its lines; rich would cut the numbers short instead."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
