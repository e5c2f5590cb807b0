"""The command `query`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import duckdb
import typer

from naswot_ray.cli.app import DatasetPath, reporting_errors
from naswot_ray.cli.output import check_free
from naswot_ray.cli.result import SUFFIXES, QueryFormat, format_of, write_result
from naswot_ray.dataset.dataset import open as open_dataset
from naswot_ray.dataset.join import check_whole
from naswot_ray.errors import SettingsError
from naswot_ray.paths import OUTPUT


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

    Example: naswot-ray query scores "SELECT space, images, batch_size, arch_id, avg(naswot) FROM scores GROUP BY ALL"
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


def _first_sentence(error: Exception) -> str:
    """An error's message on one line, without the quotation of the query that DuckDB adds below."""
    return " ".join(str(error).partition("\n\n")[0].split())
