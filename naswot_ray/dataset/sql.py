"""Safe SQL: quoted names and texts, and connections that cannot use files."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

import duckdb


def literal(text: str) -> str:
    """Quote a text as an SQL literal."""
    return "'{}'".format(text.replace("'", "''"))


def quoted(name: str) -> str:
    """Quote the name of a column or table, whatever characters it contains."""
    return '"{}"'.format(name.replace('"', '""'))


def lock_down(connection: duckdb.DuckDBPyConnection, scratch: Path | None = None) -> None:
    """Restrict a connection permanently to its tables.

    Statements can then neither read nor write files, use the network, install or load extensions, read the program's
    environment variables, or change settings. Tables that were registered before remain, and Python may register more. DuckDB
    itself only writes data that does not fit into memory, into a folder that it removes when the connection is closed.

    Args:
        connection: the connection. Its other settings must be final, because they cannot be changed afterwards.
        scratch: a folder for data that does not fit into memory. Statements can write to it too. By default a folder is created
            in the system's temporary directory when it is needed.
    """
    folder = scratch or Path(tempfile.gettempdir()) / f"naswot-ray-{secrets.token_hex(8)}"
    connection.execute("SET temp_directory = $1", [str(folder)])
    for setting in (
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "python_enable_replacements = false",
        "enable_external_access = false",
        "lock_configuration = true",  # must be last: nothing can be set after it
    ):
        connection.execute(f"SET {setting}")
