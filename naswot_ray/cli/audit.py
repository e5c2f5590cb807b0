"""The command `audit`: are the scores what they claim to be?"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import track

from naswot_ray import console
from naswot_ray.audit.rows import count_points, find_contradictions, find_other_dtypes, find_wrong_counts
from naswot_ray.cli.app import EXIT_PARTIAL, DatasetPath, reporting_errors, stderr, stdout
from naswot_ray.dataset.agreement import check_agreement
from naswot_ray.dataset.check import check_files, check_folders, list_files
from naswot_ray.dataset.dataset import open as open_dataset
from naswot_ray.paths import INPUT, SPACE_OPTION

MAX_SAMPLE = 2**31 - 1
"""The largest sample of rows. A dataset with fewer rows is recomputed as a whole."""


@reporting_errors
def audit(
    dataset_path: DatasetPath,
    sample: Annotated[
        int, typer.Option(min=1, max=MAX_SAMPLE, metavar="K", help="Number of random rows to compute again.")
    ] = 100,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed of the sample. Another seed chooses other rows.")] = 0,
    data: Annotated[
        str | None, typer.Option(metavar="PATH", help="Directory with the images; not needed for noise."), INPUT
    ] = None,
    space_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="Parameter of a space, PARAMETER=VALUE. Needed if a file is no longer where the runs had it."
        ),
        SPACE_OPTION,
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Engine: exact, fast or cuda. Default: the one that computed a row; if that cannot run here, fast or exact.",
        ),
    ] = None,
) -> None:
    """Compute random rows again and compare them. Also find damaged files, and rows that contradict each other.

    A row agrees if num_units is equal and the value of every measure is within that measure's tolerance. Rows that disagree are
    listed. The exit status is 1 if a row disagrees or anything else is wrong.

    Example: naswot-ray audit scores --sample 1000 --data ~/cifar10
    """
    from naswot_ray.audit.inputs import load_images_of, open_spaces_of  # noqa: PLC0415  torch takes seconds to import
    from naswot_ray.audit.recomputation import draw_rows, recompute  # noqa: PLC0415
    from naswot_ray.engines.engine import get_engine  # noqa: PLC0415

    dataset = open_dataset(dataset_path)
    settings = dataset.manifest.settings
    if engine is not None:
        get_engine(engine)
    spaces = open_spaces_of(dataset, settings.spaces, space_option or ())
    sources = load_images_of(dataset, settings.images, data)

    files = list_files(dataset)
    problems = [*check_folders(dataset), *(problem for of_file in check_files(dataset, files) for problem in of_file)]
    problems += check_agreement(dataset, {problem.path for problem in problems})
    stdout.print(f"{dataset.storage.root}: {len(files):,} files")
    good = console.print_check(stdout, dataset, problems, {})
    if problems:  # it is not worth computing rows of damaged files again
        raise typer.Exit(EXIT_PARTIAL)

    points = count_points(dataset)
    findings = [
        *find_contradictions(dataset),
        *find_other_dtypes(dataset),
        *find_wrong_counts(points, {name: len(space) for name, space in spaces.items()}),
    ]
    console.print_findings(stdout, points, findings)

    rows = draw_rows(dataset, sample, seed)
    found = recompute(rows, spaces, sources, engine)
    shown = track(found, "computing", total=len(rows), console=stderr, disable=not stderr.is_terminal)
    num_rows = sum(p.num_rows - p.num_failed for p in points)
    agree = console.print_recomputed(stdout, list(shown), num_rows)
    if findings or not agree or not good:
        raise typer.Exit(EXIT_PARTIAL)
