"""What the SQL of this package is made of and what it may do: quoted names and texts, and connections that reach no file."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

import duckdb


def literal(text: str) -> str:
    """A text as a literal of SQL."""
    return "'{}'".format(text.replace("'", "''"))


def quoted(name: str) -> str:
    """A name of a column or table as SQL takes it, whatever is in it."""
    return '"{}"'.format(name.replace('"', '""'))


def lock_down(connection: duckdb.DuckDBPyConnection, scratch: Path | None = None) -> None:
    """Take from a connection, for good, everything but its tables.

    A statement can then read and write no file, reach no network, install or load no extension, see no variable of the program,
    and change no setting. What has been registered before stays, and Python may register more. DuckDB itself writes nothing but
    what it sorts beyond its memory, into a folder that it removes when the connection is closed.

    Args:
        connection: whose other settings are as they should be.
        scratch: a folder for what does not fit into memory, which statements can write to as well. Default: one that is made
            when it is needed, where temporary files belong.
    """
    folder = scratch or Path(tempfile.gettempdir()) / f"naswot-ray-{secrets.token_hex(8)}"
    connection.execute("SET temp_directory = $1", [str(folder)])
    for setting in (
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "python_enable_replacements = false",
        "enable_external_access = false",
        "lock_configuration = true",  # the last: it holds all the others
    ):
        connection.execute(f"SET {setting}")
