"""Accuracy tables: trained accuracies of one space from one source, on their way into a dataset.

A table comes in batches and is written as they come, since the largest official file gives 13 million rows. Nothing reaches the
dataset before the last batch has been read without an error.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from naswot_ray.dataset import layout
from naswot_ray.dataset.opening import Dataset
from naswot_ray.dataset.schema import ACCURACIES
from naswot_ray.errors import DatasetError

_ROWS_PER_BATCH = 65_536
_KEY = ("dataset", "split", "epochs")


@dataclass(frozen=True)
class AccuracyTable:
    """Accuracies of a space, read once.

    Attributes:
        space: which architectures they belong to.
        source: name of the file or directory they came from.
        digest: SHA-256 of its content.
        batches: rows of `schema.ACCURACIES`; rows with a null seed are means over repeats. Reading them may raise
            `BenchmarkError`.
    """

    space: str
    source: str
    digest: str
    batches: Iterator[pa.RecordBatch]

    def read_all(self) -> pa.Table:
        """The remaining rows in memory."""
        return pa.Table.from_batches(self.batches, schema=ACCURACIES)


@dataclass(frozen=True)
class StagedAccuracies:
    """An accuracy table that has been read to its end.

    Attributes:
        keys: the (dataset, split, epochs) it holds, sorted.
        parquet: its rows as a Parquet file.
    """

    space: str
    source: str
    digest: str
    keys: tuple[tuple[str, str, int], ...]
    num_rows: int
    parquet: pa.Buffer


def batches_of(space: str, digest: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[pa.RecordBatch]:
    """Accuracy rows as batches of `schema.ACCURACIES`; columns that a row leaves out are null."""
    remaining = iter(rows)
    common = {"space": space, "source_digest": digest}
    while chunk := [common | dict(row) for row in itertools.islice(remaining, _ROWS_PER_BATCH)]:
        yield pa.RecordBatch.from_pylist(chunk, schema=ACCURACIES)


def stage(table: AccuracyTable) -> StagedAccuracies:
    """Read a table to its end.

    Raises:
        BenchmarkError: its source turns out to be damaged.
    """
    sink = pa.BufferOutputStream()
    keys: set[tuple[str, str, int]] = set()
    num_rows = 0
    with pq.ParquetWriter(sink, ACCURACIES, compression="zstd", write_page_checksum=True) as writer:
        for batch in table.batches:
            writer.write_batch(batch)
            found = pa.Table.from_batches([batch]).group_by(list(_KEY)).aggregate([])
            keys.update(zip(*(found[name].to_pylist() for name in _KEY), strict=True))
            num_rows += batch.num_rows
    return StagedAccuracies(table.space, table.source, table.digest, tuple(sorted(keys)), num_rows, sink.getvalue())


def add_accuracies(dataset: Dataset, staged: StagedAccuracies) -> None:
    """Write accuracy rows into a dataset; the same rows from the same source are left alone.

    Raises:
        DatasetError: the dataset already holds other accuracies of the same (dataset, split, epochs).
    """
    names = ["/".join(map(str, key)) for key in staged.keys]
    content = hashlib.sha256(" ".join([staged.digest, *names]).encode()).hexdigest()
    path = layout.accuracies(staged.space, f"{staged.source}-{content[:8]}")
    with dataset.naming_damaged_files():
        if dataset.storage.exists(path):
            with dataset.storage.open_parquet(path) as file, pq.ParquetFile(staged.parquet) as new:
                if file.metadata.num_rows == staged.num_rows and all(
                    a.equals(b) for a, b in zip(file.iter_batches(), new.iter_batches(), strict=True)
                ):
                    return
        there = dataset.accuracies.to_table(filter=pc.field("space") == staged.space, columns=[*_KEY, "source_digest"])
    found = there.group_by([*_KEY, "source_digest"]).aggregate([])
    sources = {(row["dataset"], row["split"], row["epochs"]): row["source_digest"] for row in found.to_pylist()}
    for key, name in zip(staged.keys, names, strict=True):
        if key in sources:
            raise DatasetError(
                f"{dataset.storage.path(path.parent)} already holds {name} accuracies from a source with SHA-256 "
                f"{sources[key][:8]}...; remove that file there first to take them from {staged.source}"
            )
    dataset.storage.write_bytes(path, staged.parquet)
