"""`naswot_ray.open(path)`: a dataset as pyarrow datasets and as DuckDB views, of files that have been verified."""

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
"""What DuckDB raises because of what was asked, never because of what a file holds."""


class Dataset:
    """A dataset opened for reading. Tables that have not been written yet are empty, with their columns.

    Attributes:
        storage: where it lies.
        manifest: its settings.
        verified: which of its files are known to be what was written.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.storage = Storage(root)
        self.manifest = manifest.read(self.storage)
        self.verified = VerifiedFiles(self.storage)

    @property
    def runs(self) -> list[runs.RunRecord]:
        """The records of all runs, oldest first."""
        return runs.read_all(self.storage)

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures that score rows have columns of. A value is null where it was not computed."""
        return tuple(self.manifest.settings.measures)

    def check_measure(self, name: str) -> None:
        """Refuse a measure that score rows have no column of.

        Raises:
            SettingsError: tells the measures that there are, and the nearest one.
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
        """Scores with mean accuracies and baselines. `join.check_whole` refuses what a killed join left."""
        return self._table("joined")

    def connect(
        self, tables: Iterable[str] = tuple(schema.TABLES), *, unsafe: bool = False, scratch: Path | None = None
    ) -> duckdb.DuckDBPyConnection:
        """A new DuckDB connection in memory, with views `scores`, `architectures`, `accuracies` and `joined`.

        Every file of the views is verified first; a second connection only lists them. Statements reach the views and nothing
        else, neither files nor the network: they may come from elsewhere, and so may the dataset. Rows come by pyarrow, so that
        DuckDB needs no access to the files themselves, and could not overwrite them.

        Args:
            tables: those that there are to be views of.
            unsafe: let statements do whatever DuckDB can: read and write files, load extensions, see the program's variables.
            scratch: a folder for what does not fit into memory, which statements can write to; see `lock_down`.

        Raises:
            DatasetError: a file is not what was written; names it.
        """
        connection = duckdb.connect()
        for name in tables:
            connection.register(name, self._table(name))
        if not unsafe:
            lock_down(connection, scratch)
        return connection

    def read_parquet(self, table: str) -> str:
        """The DuckDB expression that reads a table's files, for use in any DuckDB.

        Without `hive_partitioning=false` DuckDB would take a folder called `seed=7` above the dataset for the column `seed`.
        """
        return f"read_parquet({self.pattern(table)}, hive_partitioning=false)"

    def pattern(self, table: str) -> str:
        """The files of a table as a DuckDB string literal with wildcards."""
        folder = self.storage.path(PurePosixPath(table))
        return literal(f"{glob.escape(folder)}/{'part-*' if table in layout.TABLES_OF_PARTS else '*'}.parquet")

    def duckdb_setup(self) -> str:
        """What a DuckDB has to be told before `read_parquet` works in it; empty for a dataset on the local disk."""
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
        """Around reading: an error that comes from a damaged file becomes one that names the file.

        Looks only after an error, so that reading a dataset of many files does not read their footers twice.

        Raises:
            DatasetError: a file is damaged.
        """
        try:
            yield
        except (*_ERRORS_OF_A_QUERY, BrokenPipeError):  # a pipe is what the result goes to
            raise
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            for table in schema.TABLES:
                for file in self.files(table):
                    with self.storage.open_parquet(file.path):
                        pass
            if self.storage.local is None:  # every file is whole: it was the way there
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
        guarantee_of = functools.cache(_guarantee)  # files are many, points of the grid few
        fragments = [
            format_.make_fragment(
                self.storage.inner_path(file.path),
                self.storage.filesystem,
                partition_expression=guarantee_of(_without_number(file.path)),
                file_size=file.size,  # or an object store would be asked for it, file by file
            )
            for file in files
        ]
        return pads.FileSystemDataset(fragments, schema=columns, format=format_, filesystem=self.storage.filesystem)

    def verify(self, table: str) -> dict[PurePosixPath, str | BrokenSealError]:
        """Verify the files of a table; those that have been verified before are only listed.

        Returns:
            per file the digest of its seal, or what is wrong with it.

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
        return files

    def files(self, table: str) -> list[StoredFile]:
        """The files of a table, sorted by path: those whose names say so, whatever else lies beside them.

        Everything that reads a dataset reads these and no others, so that all of it sees the same rows.

        Raises:
            DatasetError: the storage cannot be asked.
        """
        return [file for file in self.storage.list_files(PurePosixPath(table)) if layout.table_file(file.path) is not None]


def open(path: str | os.PathLike[str]) -> Dataset:
    """Open a dataset for reading.

    Args:
        path: its directory, or its URI.

    Raises:
        DatasetError: there is no dataset, or it cannot be read.

    Example:
        >>> means = "SELECT space, images, batch_size, arch_id, avg(naswot) FROM scores GROUP BY ALL"
        >>> naswot_ray.open("scores").connect().sql(means).show()
    """
    storage = Storage(path)
    if not storage.exists():
        raise DatasetError(f"{storage.root} does not exist")
    return Dataset(path)


def _guarantee(file: TableFile | None) -> pads.Expression | None:
    """What a file's name says of its rows, so that a filter passes over files without opening them."""
    key = {} if file is None else file.key
    return functools.reduce(operator.and_, (pads.field(name) == value for name, value in key.items())) if key else None


def _without_number(path: PurePosixPath) -> TableFile | None:
    file = layout.table_file(path)
    return None if file is None else replace(file, number=None, source=None)
