"""The command `query`, which runs SQL over a dataset."""

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
        typer.Option(
            help="Format of the result. Default: by the name of --output; without --output a table on a terminal, else csv."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="PATH", help=f"File to write; its name must end with one of {', '.join(SUFFIXES)}."
        ),
        OUTPUT,
    ] = None,
    unsafe: Annotated[
        bool,
        typer.Option(
            "--unsafe",
            help="Allow the query to read other files, use the network and load DuckDB's extensions. Use it only for SQL of "
            "your own.",
        ),
    ] = False,
) -> None:
    """Run SQL over a dataset's views: scores, architectures, accuracies, joined.

    A file or a pipe gets all rows. A table on a terminal is cut to fit, and says so.
    The query can read only these views, unless --unsafe is given.

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
            if unsafe:  # otherwise DuckDB looks up a name that is no view among the variables of this program
                connection.execute("SET python_enable_replacements = false")
            write_result(connection, sql, chosen, output, scratch, is_terminal=is_terminal)
    except duckdb.PermissionException as error:
        raise SettingsError(
            f"query failed: {_first_sentence(error)}; a query can read only the dataset's views; --unsafe allows other files"
        ) from error
    except duckdb.Error as error:
        raise SettingsError(f"query failed: {_first_sentence(error)}") from error


def _first_sentence(error: Exception) -> str:
    """An error's message on one line, without the quoted query that DuckDB adds below it."""
    return " ".join(str(error).partition("\n\n")[0].split())
