"""Accuracy tables: how the trained accuracies of one space from one source get into a dataset.

A table is read and written in batches, because the largest official file gives 13 million rows. Nothing reaches the dataset
before the last batch has been read without an error.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import and_, or_
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from naswot_ray.dataset import layout, names, seal
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.label import LABEL_COLUMNS, Label
from naswot_ray.dataset.schema import ACCURACIES
from naswot_ray.errors import BenchmarkError, DatasetError

_ROWS_PER_BATCH = 65_536


@dataclass(frozen=True)
class AccuracyTable:
    """The accuracies of one space. They can be read only once.

    Attributes:
        space: the space of the architectures.
        source: name of the file or directory that they come from.
        digest: SHA-256 of the source's content.
        batches: rows of `schema.ACCURACIES`. A row with a null seed is a mean over repeats. Reading may raise `BenchmarkError`.
        warnings: one line for each thing that looks wrong in the source.
    """

    space: str
    source: str
    digest: str
    batches: Iterator[pa.RecordBatch]
    warnings: tuple[str, ...] = ()

    def read_all(self) -> pa.Table:
        """Read the remaining rows into memory."""
        return pa.Table.from_batches(self.batches, schema=ACCURACIES)


@dataclass(frozen=True)
class StagedAccuracies:
    """An accuracy table that has been read to its end.

    Attributes:
        space, source, digest, warnings: as in `AccuracyTable`.
        labels: the labels of its accuracies, sorted.
        num_rows: how many rows it has.
        parquet: its rows as a sealed Parquet file, for a dataset that holds none of its labels yet.
    """

    space: str
    source: str
    digest: str
    labels: tuple[Label, ...]
    num_rows: int
    parquet: pa.Buffer
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Addition:
    """How the labels of a staged table compare with those in a dataset, each group in the order of the labels.

    Attributes:
        new: labels that the dataset does not hold yet.
        same: labels that it holds with exactly the same rows.
        different: label -> the file that holds it with other rows.
    """

    new: tuple[Label, ...]
    same: tuple[Label, ...]
    different: Mapping[Label, PurePosixPath]


def batches_of(space: str, digest: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[pa.RecordBatch]:
    """Convert accuracy rows to batches of `schema.ACCURACIES`. Columns that a row leaves out are null.

    Raises:
        BenchmarkError: a value does not fit its column.
    """
    remaining = iter(rows)
    common = {"space": space, "source_digest": digest}
    while chunk := [common | dict(row) for row in itertools.islice(remaining, _ROWS_PER_BATCH)]:
        try:
            yield pa.RecordBatch.from_pylist(chunk, schema=ACCURACIES)
        except (pa.ArrowException, OverflowError, UnicodeError) as error:
            raise BenchmarkError(f"accuracies of {space} have a value that no column holds: {error}") from error


def stage(table: AccuracyTable) -> StagedAccuracies:
    """Read a table to its end.

    Raises:
        BenchmarkError: the source is damaged, holds no accuracy, or calls a dataset or split by something that is not a valid
            name.
    """
    labels: set[Label] = set()
    num_rows = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal num_rows
        for batch in table.batches:
            labels.update(_labels_of(pa.Table.from_batches([batch])))
            num_rows += batch.num_rows
            yield batch

    parquet = seal.sealed(ACCURACIES, counted(), lambda: _path_of(table.space, table.source, table.digest, sorted(labels)))
    if not num_rows:
        raise BenchmarkError(f"{table.source} gives no row: it has no accuracy of any architecture of {table.space}")
    for text in (text for label in labels for text in (label.dataset, label.split)):
        if not names.is_name(text):
            raise BenchmarkError(f"{table.source}: {names.refusal(text)}")
    return StagedAccuracies(table.space, table.source, table.digest, tuple(sorted(labels)), num_rows, parquet, table.warnings)


def compare(dataset: Dataset, staged: StagedAccuracies) -> Addition:
    """Compare a staged table with the accuracies that a dataset holds. Where rows were read from does not matter.

    Raises:
        DatasetError: two files of the dataset hold accuracies of the same label, or one is damaged.
    """
    homes: dict[Label, PurePosixPath] = {}
    same: list[Label] = []
    for path in _files(dataset, staged.space):
        with dataset.storage.open_parquet(path) as file:
            held = _labels_of(file.read(columns=list(LABEL_COLUMNS)))
            for label in held & homes.keys():
                raise DatasetError(
                    f"{dataset.storage.path(path)} and {dataset.storage.path(homes[label])} both hold {label} accuracies; "
                    "remove one of them"
                )
            homes |= dict.fromkeys(held, path)
            common = sorted(held.intersection(staged.labels))
            if common:
                there = file.read(columns=ACCURACIES.names).cast(ACCURACIES)
                with pq.ParquetFile(staged.parquet) as new:
                    brought = new.read()
                same += [label for label in common if _rows(there, label).equals(_rows(brought, label))]
    return Addition(
        new=tuple(label for label in staged.labels if label not in homes),
        same=tuple(sorted(same)),
        different={label: homes[label] for label in staged.labels if label in homes and label not in same},
    )


def check_addition(dataset: Dataset, staged: StagedAccuracies, addition: Addition) -> None:
    """Refuse to add labels that a dataset already holds with other rows.

    Raises:
        DatasetError: there is such a label. The message names the file that holds it and how to replace its rows.
    """
    for label, path in addition.different.items():
        with dataset.storage.open_parquet(path) as file:
            digests = _rows(
                file.read(columns=[*LABEL_COLUMNS, "arch_id", "seed", "source_digest"]), label, keep=("source_digest",)
            )
        (digest, *_) = digests["source_digest"].to_pylist()
        raise DatasetError(
            f"{dataset.storage.path(path)} already holds {label} accuracies, with other rows, from a source with "
            f"SHA-256 {digest[:8]}...; give --replace to `naswot-ray accuracies` or `join` to replace them by those from "
            f"{staged.source}"
        )


def add_accuracies(dataset: Dataset, staged: StagedAccuracies, *, replace: bool = False) -> Addition:
    """Write accuracy rows into a dataset. Rows that it already holds are left alone.

    A file holds all rows of its labels, and no other file has rows of them. New labels go to a new file. To replace labels, the
    file that holds them is written again under its own name, with the new rows and its other rows. That is one step
    (`Storage.write_bytes`), so a process that is killed leaves the old or the new rows. Writing a second file and removing the
    first could leave neither or both.

    On a local disk two imports at once take turns. An object store has no locks, so an import looks again after writing, and
    removes its own file if another import has added the same labels meanwhile.

    Args:
        dataset: the dataset to write to.
        staged: the rows.
        replace: whether they replace other rows of the same labels.

    Returns:
        how each label compared with the dataset before.

    Raises:
        DatasetError: the dataset already holds a label with other rows and `replace` is not set, or another import has added
            the same label meanwhile.
    """
    with dataset.storage.locked(layout.ACCURACIES / staged.space):
        return _add(dataset, staged, replace=replace)


def _add(dataset: Dataset, staged: StagedAccuracies, *, replace: bool) -> Addition:
    addition = compare(dataset, staged)
    if not replace:
        check_addition(dataset, staged, addition)
    with pq.ParquetFile(staged.parquet) as new:
        for path in sorted(set(addition.different.values())):
            replaced = [label for label, home in addition.different.items() if home == path]
            with dataset.storage.open_parquet(path) as old:
                batches = itertools.chain(_select(old, replaced, invert=True), _select(new, replaced))
                parquet = seal.sealed(ACCURACIES, batches, functools.partial(PurePosixPath, path))
            dataset.storage.write_bytes(path, parquet)
        if addition.new:
            path = _path_of(staged.space, staged.source, staged.digest, addition.new)
            is_all = addition.new == staged.labels
            parquet = staged.parquet if is_all else seal.sealed(ACCURACIES, _select(new, addition.new), lambda: path)
            dataset.storage.write_bytes(path, parquet)
            _check_alone(dataset, staged.space, path, addition.new)
    return addition


def _check_alone(dataset: Dataset, space: str, path: PurePosixPath, labels: Collection[Label]) -> None:
    """Remove the file that was just written if another import has added the same labels meanwhile.

    Raises:
        DatasetError: another import has added one of them.
    """
    for other in _files(dataset, space):
        if other != path and (both := labels_of(dataset, other).intersection(labels)):
            dataset.storage.remove(path)
            raise DatasetError(
                f"{dataset.storage.path(other)} was imported at the same time and holds {min(both)} accuracies too: "
                "nothing was added; run the same command again"
            )


def labels_of(dataset: Dataset, path: PurePosixPath) -> set[Label]:
    """The labels of the accuracies in a file.

    Raises:
        DatasetError: the file is damaged.
    """
    with dataset.storage.open_parquet(path) as file:
        return _labels_of(file.read(columns=list(LABEL_COLUMNS)))


def _files(dataset: Dataset, space: str) -> list[PurePosixPath]:
    named = ((file.path, layout.table_file(file.path)) for file in dataset.files("accuracies"))
    return [path for path, found in named if found is not None and found.space == space]


def _path_of(space: str, source: str, digest: str, labels: Sequence[Label]) -> PurePosixPath:
    """Name a file by its source and content, so that the same import always gets the same name."""
    names = " ".join([digest, *map(str, labels)])
    return layout.accuracies(space, f"{source}-{hashlib.sha256(names.encode()).hexdigest()[:8]}")


def _labels_of(table: pa.Table) -> set[Label]:
    found = table.group_by(list(LABEL_COLUMNS)).aggregate([])
    return {Label(*values) for values in zip(*(found[name].to_pylist() for name in LABEL_COLUMNS), strict=True)}


def _is_one_of(labels: Collection[Label]) -> pc.Expression:
    matches = [functools.reduce(and_, (pc.field(name) == value for name, value in asdict(label).items())) for label in labels]
    return functools.reduce(or_, matches, pc.scalar(False))


def _select(file: pq.ParquetFile, labels: Collection[Label], *, invert: bool = False) -> Iterator[pa.RecordBatch]:
    """The rows of some labels; with `invert` the rows of all other labels."""
    chosen = ~_is_one_of(labels) if invert else _is_one_of(labels)
    for batch in file.iter_batches(_ROWS_PER_BATCH, columns=ACCURACIES.names):
        yield from pa.Table.from_batches([batch]).cast(ACCURACIES).filter(chosen).to_batches()


def _rows(table: pa.Table, label: Label, keep: Collection[str] | None = None) -> pa.Table:
    """The rows of one label in a fixed order, by default without the digest of their source."""
    rows = table.filter(_is_one_of([label])).sort_by([("arch_id", "ascending"), ("seed", "ascending")])
    names = keep if keep is not None else [name for name in rows.column_names if name != "source_digest"]
    return rows.select(list(names)).combine_chunks()
