"""`naswot_ray.open(path)`: a dataset as pyarrow datasets and DuckDB views of verified files."""

from __future__ import annotations

import contextlib
import functools
import glob
import operator
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads

from naswot_ray.dataset import layout, manifest, runs, schema
from naswot_ray.dataset.layout import TableFile
from naswot_ray.dataset.retry import reason_of
from naswot_ray.dataset.seal import BrokenSealError
from naswot_ray.dataset.sql import literal, lock_down
from naswot_ray.dataset.storage import Storage, StoredFile
from naswot_ray.dataset.verification import VerifiedFiles
from naswot_ray.errors import DatasetError, SettingsError
from naswot_ray.registry import nearest

_ERRORS_OF_A_QUERY = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.PermissionException,
)
"""Errors that DuckDB raises because of the query, never because of a file."""


class Dataset:
    """A dataset opened for reading. A table that has not been written yet is empty but has its columns.

    Attributes:
        storage: the files under its root.
        manifest: the content of `dataset.json`, with the settings.
        verified: the files that have been verified.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.storage = Storage(root)
        self.manifest = manifest.read(self.storage)
        self.verified = VerifiedFiles(self.storage)
        self._listed: dict[str, list[StoredFile]] = {}

    @property
    def runs(self) -> list[runs.RunRecord]:
        """The records of all runs, oldest first."""
        return runs.read_all(self.storage)

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures that score rows have columns of. A value that was not computed is null."""
        return tuple(self.manifest.settings.measures)

    def check_measure(self, name: str) -> None:
        """Refuse a measure that score rows have no column of.

        Raises:
            SettingsError: there is no such column. The message lists the measures that exist and the most similar one.
        """
        if name not in self.measures:
            known = ", ".join(self.measures)
            raise SettingsError(
                f"{self.storage.root} has no measure {name[:80]!r}; it has {known}{nearest(name, self.measures)}"
            )

    def schema_of(self, table: str) -> pa.Schema:
        """The columns of a table."""
        return schema.schema_of(table, self.measures)

    @property
    def scores(self) -> pads.Dataset:
        """Score rows, with a column for each of `measures`."""
        return self._table("scores")

    @property
    def architectures(self) -> pads.Dataset:
        """Architecture rows; `schema.ARCHITECTURES`."""
        return self._table("architectures")

    @property
    def accuracies(self) -> pads.Dataset:
        """Accuracy rows; `schema.ACCURACIES`."""
        return self._table("accuracies")

    @property
    def joined(self) -> pads.Dataset:
        """Scores with mean accuracies and baselines. `join.check_whole` refuses the files of a join that was killed."""
        return self._table("joined")

    def connect(
        self, tables: Iterable[str] = tuple(schema.TABLES), *, unsafe: bool = False, scratch: Path | None = None
    ) -> duckdb.DuckDBPyConnection:
        """Open a DuckDB connection in memory with the views `scores`, `architectures`, `accuracies` and `joined`.

        Every file of the views is verified first; later connections only list files that have not changed. Statements can use
        the views and nothing else, neither files nor the network, because they and the dataset may come from strangers. pyarrow
        reads the rows, so DuckDB needs no access to the files and cannot overwrite them.

        Args:
            tables: the tables to make views of.
            unsafe: allow statements to do whatever DuckDB can: read and write files, load extensions, read the program's
                environment variables.
            scratch: a folder for data that does not fit into memory. Statements can write to it; see `lock_down`.

        Raises:
            DatasetError: a file is not what was written there; the message names it.
        """
        connection = duckdb.connect()
        for name in tables:
            connection.register(name, self._table(name))
        if not unsafe:
            lock_down(connection, scratch)
        return connection

    def read_parquet(self, table: str) -> str:
        """The expression that reads a table's files in any DuckDB.

        Without `hive_partitioning=false` DuckDB would take a folder called `seed=7` above the dataset for the column `seed`.
        """
        return f"read_parquet({self.pattern(table)}, hive_partitioning=false)"

    def pattern(self, table: str) -> str:
        """The files of a table as a DuckDB string literal with wildcards."""
        folder = self.storage.path(PurePosixPath(table))
        return literal(f"{glob.escape(folder)}/{'part-*' if table in layout.TABLES_OF_PARTS else '*'}.parquet")

    def duckdb_setup(self) -> str:
        """The SQL statements that any DuckDB must run before `read_parquet` works; empty for a dataset on the local disk."""
        address = self.storage.address
        if address.local is not None:
            return ""
        given = dict(address.options)
        if address.name.startswith("gs://"):
            secret = ["TYPE gcs"] if address.anonymous else ["TYPE gcs", "KEY_ID '...'", "SECRET '...'"]
        else:
            secret = ["TYPE s3"] if address.anonymous else ["TYPE s3", "PROVIDER credential_chain"]
        if "region" in given:
            secret.append(f"REGION {literal(given['region'])}")
        if given.get("endpoint_override"):
            secret += [f"ENDPOINT {literal(given['endpoint_override'])}", "URL_STYLE 'path'"]
        if given.get("scheme") == "http":
            secret.append("USE_SSL false")
        authorities = given.get("tls_ca_file_path")
        trust = f" SET ca_cert_file = {literal(authorities)};" if authorities else ""
        return f"INSTALL httpfs; LOAD httpfs;{trust} CREATE SECRET ({', '.join(secret)});"

    @contextlib.contextmanager
    def naming_damaged_files(self) -> Iterator[None]:
        """A context for reading. If reading fails because a file is damaged, the error is replaced by one that names the file.

        The files are only looked at after an error, so that successful reading takes no longer.

        Raises:
            DatasetError: a file is damaged or was replaced meanwhile, or an object store failed.
        """
        try:
            yield
        except (*_ERRORS_OF_A_QUERY, BrokenPipeError):  # the pipe is the one that the result goes to
            raise
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            for table in schema.TABLES:
                for file in self.files(table):
                    with self.storage.open_parquet(file.path):
                        pass
            if any(self.files(table) != files for table, files in self._listed.items()):
                raise DatasetError(
                    f"files of {self.storage.root} were replaced while they were read, as by a run; run the same command again"
                ) from error
            if self.storage.local is None:  # every file is whole, so the connection must have failed
                raise DatasetError(
                    f"cannot read {self.storage.root}: {reason_of(error)}; run the same command again"
                ) from error
            raise

    def _table(self, name: str) -> pads.Dataset:
        return self._arrow_dataset(name, self._verified_files(name))

    def _arrow_dataset(self, name: str, files: list[StoredFile]) -> pads.Dataset:
        columns = self.schema_of(name)
        if not files:
            return pads.dataset(columns.empty_table())
        format_ = pads.ParquetFileFormat(page_checksum_verification=True)
        guarantee_of = functools.cache(_guarantee)  # there are many files but few points of the grid
        fragments = [
            format_.make_fragment(
                self.storage.inner_path(file.path),
                self.storage.filesystem,
                partition_expression=guarantee_of(_without_number(file.path)),
                file_size=file.size,  # without it pyarrow would ask an object store for the size of each file
            )
            for file in files
        ]
        return pads.FileSystemDataset(fragments, schema=columns, format=format_, filesystem=self.storage.filesystem)

    def verify(self, table: str) -> dict[PurePosixPath, str | BrokenSealError]:
        """Verify the files of a table. A file that was verified before and has not changed is only listed.

        Returns:
            path -> the digest in the file's seal, or an error that says what is wrong with the file.

        Raises:
            DatasetError: a file cannot be read.
        """
        files = self.files(table)
        self.verified.forget_others(table, files)
        return self.verified.verify(files)

    def _verified_files(self, table: str) -> list[StoredFile]:
        files = self.files(table)
        self.verified.forget_others(table, files)
        faults = [fault for fault in self.verified.verify(files).values() if isinstance(fault, BrokenSealError)]
        if faults:
            more = f" (and {len(faults) - 1:,} more files of {table})" if len(faults) > 1 else ""
            raise DatasetError(f"{faults[0]}{more}") from faults[0]
        self._listed[table] = files
        return files

    def files(self, table: str) -> list[StoredFile]:
        """List the files of a table, sorted by path: all files in its folder that are named like one of its files.

        Everything that reads a dataset reads exactly these files, so that every reader sees the same rows.

        Raises:
            DatasetError: the storage cannot be read.
        """
        return [file for file in self.storage.list_files(PurePosixPath(table)) if layout.table_file(file.path) is not None]


def open(path: str | os.PathLike[str]) -> Dataset:
    """Open a dataset for reading.

    Args:
        path: its directory, or its URI.

    Raises:
        DatasetError: there is no dataset there, or it cannot be read.

    Example:
        >>> means = "SELECT space, images, batch_size, arch_id, avg(naswot) FROM scores GROUP BY ALL"
        >>> naswot_ray.open("scores").connect().sql(means).show()
    """
    storage = Storage(path)
    if not storage.exists():
        raise DatasetError(f"{storage.root} does not exist")
    return Dataset(path)


def _guarantee(file: TableFile | None) -> pads.Expression | None:
    """The key columns that a file's name fixes, as an expression. With it a filter skips files without opening them."""
    key = {} if file is None else file.key
    return functools.reduce(operator.and_, (pads.field(name) == value for name, value in key.items())) if key else None


def _without_number(path: PurePosixPath) -> TableFile | None:
    file = layout.table_file(path)
    return None if file is None else replace(file, number=None, source=None)
