"""Commands that read a dataset: `query`, `info`, `check`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import Annotated

import duckdb
import typer
from rich.progress import track

from naswot_ray import console
from naswot_ray.cli.app import EXIT_PARTIAL, DatasetPath, reporting_errors, stderr, stdout
from naswot_ray.cli.result import SUFFIXES, QueryFormat, format_of, write_result
from naswot_ray.dataset import removed
from naswot_ray.dataset.address import split
from naswot_ray.dataset.agreement import check_agreement
from naswot_ray.dataset.check import check_files, check_folders, list_files, set_aside
from naswot_ray.dataset.dataset import open as open_dataset
from naswot_ray.dataset.join import check_whole
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import SettingsError
from naswot_ray.paths import OUTPUT, without_credentials


@reporting_errors
def query(
    dataset_path: DatasetPath,
    sql: Annotated[str, typer.Argument(help="A DuckDB query over the views.", metavar="SQL")],
    format: Annotated[
        QueryFormat | None,
        typer.Option(help="How to write the result. Default: as the name of --output says; a table on a terminal, else csv."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="PATH", help=f"File to write to; its name ends with {', '.join(SUFFIXES)}."),
        OUTPUT,
    ] = None,
    unsafe: Annotated[
        bool,
        typer.Option(
            "--unsafe",
            help="Let the query reach other files and the network, and load DuckDB's extensions: run only your own SQL.",
        ),
    ] = False,
) -> None:
    """Run SQL over a dataset's views: scores, architectures, accuracies, joined.

    A file or a pipe gets all rows. A table on a terminal is cut to fit, and says so.
    The query reads the views and nothing else, unless --unsafe is given.

    Example: naswot-ray query scores "SELECT space, images, batch_size, arch_id, avg(score) FROM scores GROUP BY ALL"
    """
    dataset = open_dataset(dataset_path)
    is_terminal = sys.stdout.isatty()
    chosen = format_of(output, format, is_terminal=is_terminal)
    if output is not None:
        check_free(output)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="naswot-ray-") as folder,
            dataset.naming_damaged_files(),
            dataset.connect(unsafe=unsafe, scratch=(scratch := Path(folder).resolve())) as connection,
        ):
            if "joined" in sql.lower():
                check_whole(dataset)
            if unsafe:  # a name that is no view would be looked up among the variables of this program
                connection.execute("SET python_enable_replacements = false")
            write_result(connection, sql, chosen, output, scratch, is_terminal=is_terminal)
    except duckdb.PermissionException as error:
        raise SettingsError(
            f"query failed: {_first_sentence(error)}; a query reads the dataset's views and no other file; --unsafe lifts that"
        ) from error
    except duckdb.Error as error:
        raise SettingsError(f"query failed: {_first_sentence(error)}") from error


@reporting_errors
def info(dataset_path: DatasetPath) -> None:
    """Tell what a dataset holds, and what is missing from its grid.

    Exit status 1 if rows that some run was to score are missing.
    """
    if not console.print_info(stdout, open_dataset(dataset_path)):
        raise typer.Exit(EXIT_PARTIAL)


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
    deleted = removed.purge(dataset.storage) if purge else []
    console.print_removed(stdout, removed.list_removed(dataset.storage), deleted)
    if not good:
        raise typer.Exit(EXIT_PARTIAL)


def check_free(output: str) -> None:
    """Refuse a file that exists, or whose folder does not.

    Raises:
        SettingsError: says so.
    """
    folder, name = split(output)
    storage = Storage(folder)
    if storage.exists(PurePosixPath(name)):
        raise SettingsError(f"{without_credentials(output)} exists; name another file or remove it")
    if storage.local is not None and not storage.exists():
        raise SettingsError(f"{output}: there is no folder {folder}; create it, or name another")


def _first_sentence(error: Exception) -> str:
    """An error's message on one line, without the quotation of the query that DuckDB adds below."""
    return " ".join(str(error).partition("\n\n")[0].split())
