"""Accuracy tables: trained accuracies of one space from one source, on their way into a dataset.

A table comes in batches and is written as they come, since the largest official file gives 13 million rows. Nothing reaches the
dataset before the last batch has been read without an error.
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
    """Accuracies of a space, read once.

    Attributes:
        space: which architectures they belong to.
        source: name of the file or directory they came from.
        digest: SHA-256 of its content.
        batches: rows of `schema.ACCURACIES`; rows with a null seed are means over repeats. Reading them may raise
            `BenchmarkError`.
        warnings: what looks wrong in it, a line each.
    """

    space: str
    source: str
    digest: str
    batches: Iterator[pa.RecordBatch]
    warnings: tuple[str, ...] = ()

    def read_all(self) -> pa.Table:
        """The remaining rows in memory."""
        return pa.Table.from_batches(self.batches, schema=ACCURACIES)


@dataclass(frozen=True)
class StagedAccuracies:
    """An accuracy table that has been read to its end.

    Attributes:
        labels: those that it holds accuracies of, sorted.
        parquet: its rows as a Parquet file, sealed for a dataset that holds none of them yet.
        warnings: what looks wrong in it, a line each.
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
    """What becomes of a staged table's accuracies in a dataset, each in the order of the labels.

    Attributes:
        new: those that the dataset does not hold yet.
        same: those that it holds already, row by row.
        different: those of which it holds other rows, and the file that does.
    """

    new: tuple[Label, ...]
    same: tuple[Label, ...]
    different: Mapping[Label, PurePosixPath]


def batches_of(space: str, digest: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[pa.RecordBatch]:
    """Accuracy rows as batches of `schema.ACCURACIES`; columns that a row leaves out are null.

    Raises:
        BenchmarkError: a value that its column cannot hold.
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
        BenchmarkError: its source turns out to be damaged, has no accuracy at all, or what it calls a dataset or split is no
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
    """Hold a staged table against what a dataset holds. Rows are the same whatever file they were read from.

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
    """Refuse accuracies of which a dataset holds other rows.

    Raises:
        DatasetError: names the file that is in the way, and how to replace what it holds.
    """
    for label, path in addition.different.items():
        with dataset.storage.open_parquet(path) as file:
            digests = _rows(
                file.read(columns=[*LABEL_COLUMNS, "arch_id", "seed", "source_digest"]), label, keep=("source_digest",)
            )
        (digest, *_) = digests["source_digest"].to_pylist()
        raise DatasetError(
            f"{dataset.storage.path(path)} already holds {label} accuracies, with other rows, from a source with "
            f"SHA-256 {digest[:8]}...; `naswot-ray accuracies` and `join` take those from {staged.source} in their place with "
            "--replace"
        )


def add_accuracies(dataset: Dataset, staged: StagedAccuracies, *, replace: bool = False) -> Addition:
    """Write accuracy rows into a dataset; those that it holds already are left alone.

    A file holds all rows of its labels, and no other file has rows of these. To replace some, the file that
    holds them is written again, under its own name, with the new rows in their place and its other rows as they are: one step
    (`Storage.write_bytes`), so that whoever is killed leaves the old rows or the new ones. A second file that is removed before
    or after could leave neither or both. What the dataset does not hold yet goes to a file of its own.

    Args:
        dataset: to write to.
        staged: the rows.
        replace: whether its rows take the place of others of the same labels.

    Two imports at once take turns on a local disk. In an object store, which has no locks, each looks again after it has
    written, and takes its own file back if it finds another one with the same accuracies.

    Returns:
        what became of each label.

    Raises:
        DatasetError: the dataset already holds other accuracies of the same label, and `replace` is not set;
            or another import has added some meanwhile.
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
    """Remove a file that has just been written if another import has written accuracies of the same labels meanwhile.

    Raises:
        DatasetError: it has.
    """
    for other in _files(dataset, space):
        if other != path and (both := labels_of(dataset, other).intersection(labels)):
            dataset.storage.remove(path)
            raise DatasetError(
                f"{dataset.storage.path(other)} was imported at the same time and holds {min(both)} accuracies too: "
                "nothing was added; run the same command again"
            )


def labels_of(dataset: Dataset, path: PurePosixPath) -> set[Label]:
    """The labels that a file holds accuracies of.

    Raises:
        DatasetError: it is damaged.
    """
    with dataset.storage.open_parquet(path) as file:
        return _labels_of(file.read(columns=list(LABEL_COLUMNS)))


def _files(dataset: Dataset, space: str) -> list[PurePosixPath]:
    named = ((file.path, layout.table_file(file.path)) for file in dataset.files("accuracies"))
    return [path for path, found in named if found is not None and found.space == space]


def _path_of(space: str, source: str, digest: str, labels: Sequence[Label]) -> PurePosixPath:
    """By source and content, so that the same import gets the same name."""
    names = " ".join([digest, *map(str, labels)])
    return layout.accuracies(space, f"{source}-{hashlib.sha256(names.encode()).hexdigest()[:8]}")


def _labels_of(table: pa.Table) -> set[Label]:
    found = table.group_by(list(LABEL_COLUMNS)).aggregate([])
    return {Label(*values) for values in zip(*(found[name].to_pylist() for name in LABEL_COLUMNS), strict=True)}


def _is_one_of(labels: Collection[Label]) -> pc.Expression:
    matches = [functools.reduce(and_, (pc.field(name) == value for name, value in asdict(label).items())) for label in labels]
    return functools.reduce(or_, matches, pc.scalar(False))


def _select(file: pq.ParquetFile, labels: Collection[Label], *, invert: bool = False) -> Iterator[pa.RecordBatch]:
    """The rows of some labels, or of all others."""
    chosen = ~_is_one_of(labels) if invert else _is_one_of(labels)
    for batch in file.iter_batches(_ROWS_PER_BATCH, columns=ACCURACIES.names):
        yield from pa.Table.from_batches([batch]).cast(ACCURACIES).filter(chosen).to_batches()


def _rows(table: pa.Table, label: Label, keep: Collection[str] | None = None) -> pa.Table:
    """The rows of one label in a fixed order, without where they were read from."""
    rows = table.filter(_is_one_of([label])).sort_by([("arch_id", "ascending"), ("seed", "ascending")])
    names = keep if keep is not None else [name for name in rows.column_names if name != "source_digest"]
    return rows.select(list(names)).combine_chunks()
