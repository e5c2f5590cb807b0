"""The command `fetch`, which downloads official files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from naswot_ray import console
from naswot_ray.cache import cache_directory
from naswot_ray.cli.app import EXIT_ERROR, reporting_errors, stdout
from naswot_ray.errors import FetchError
from naswot_ray.fetch.catalogue import get_entry
from naswot_ray.fetch.files import fetch
from naswot_ray.fetch.progress import ConsoleFetchProgress
from naswot_ray.paths import LOCAL_OUTPUT
from naswot_ray.terminal import complain


@reporting_errors
def fetch_files(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of what to fetch. Default: list what there is.", metavar="NAME")
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Folder to keep files in. Default: NASWOT_RAY_CACHE, or else the user's cache directory."
        ),
        LOCAL_OUTPUT,
    ] = None,
) -> None:
    """Fetch official benchmark files and images: download, verify and unpack them.

    A download that broke off is resumed. Some files can be downloaded only in a browser: the command says where to put them,
    and verifies them when it is run again.

    Example: naswot-ray fetch nasbench101 cifar10
    """
    folder = Path(cache) if cache else cache_directory()
    if not names:
        console.print_catalogue(stdout, folder)
    entries = {name: get_entry(name) for name in names or ()}  # report a mistyped name at once, not after the other downloads
    failed = False
    for name in entries:
        try:
            with ConsoleFetchProgress() as progress:
                path = fetch(name, folder, progress)
            console.print_fetched(stdout, name, path, folder)
        except FetchError as error:  # the others may still succeed
            complain(f"error: {error}")
            failed = True
    if failed:
        raise typer.Exit(EXIT_ERROR)
