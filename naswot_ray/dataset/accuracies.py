"""Accuracy tables: trained accuracies of one space from one source, on their way into a dataset.

A table comes in batches and is written as they come, since the largest official file gives 13 million rows. Nothing reaches the
dataset before the last batch has been read without an error.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import and_, or_
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from naswot_ray.dataset import layout, names, seal
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.schema import ACCURACIES
from naswot_ray.errors import BenchmarkError, DatasetError

_ROWS_PER_BATCH = 65_536
_KEY = ("dataset", "split", "epochs")

Key = tuple[str, str, int]
"""Which accuracy: dataset, split, epochs."""


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
        keys: the (dataset, split, epochs) it holds, sorted.
        parquet: its rows as a Parquet file, sealed for a dataset that holds none of them yet.
        warnings: what looks wrong in it, a line each.
    """

    space: str
    source: str
    digest: str
    keys: tuple[Key, ...]
    num_rows: int
    parquet: pa.Buffer
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Addition:
    """What becomes of a staged table's accuracies in a dataset, each a sorted tuple of (dataset, split, epochs).

    Attributes:
        new: those that the dataset does not hold yet.
        same: those that it holds already, row by row.
        different: those of which it holds other rows, and the file that does.
    """

    new: tuple[Key, ...]
    same: tuple[Key, ...]
    different: Mapping[Key, PurePosixPath]


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
    keys: set[Key] = set()
    num_rows = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal num_rows
        for batch in table.batches:
            keys.update(_keys_of(pa.Table.from_batches([batch])))
            num_rows += batch.num_rows
            yield batch

    parquet = seal.sealed(ACCURACIES, counted(), lambda: _path_of(table.space, table.source, table.digest, sorted(keys)))
    if not num_rows:
        raise BenchmarkError(f"{table.source} gives no row: it has no accuracy of any architecture of {table.space}")
    for text in (text for dataset, split, _ in keys for text in (dataset, split)):
        if not names.is_name(text):
            raise BenchmarkError(f"{table.source}: {names.refusal(text)}")
    return StagedAccuracies(table.space, table.source, table.digest, tuple(sorted(keys)), num_rows, parquet, table.warnings)


def compare(dataset: Dataset, staged: StagedAccuracies) -> Addition:
    """Hold a staged table against what a dataset holds. Rows are the same whatever file they were read from.

    Raises:
        DatasetError: two files of the dataset hold accuracies of the same (dataset, split, epochs), or one is damaged.
    """
    homes: dict[Key, PurePosixPath] = {}
    same: list[Key] = []
    for path in _files(dataset, staged.space):
        with dataset.storage.open_parquet(path) as file:
            held = _keys_of(file.read(columns=list(_KEY)))
            for key in held & homes.keys():
                raise DatasetError(
                    f"{dataset.storage.path(path)} and {dataset.storage.path(homes[key])} both hold {name_of(key)} accuracies; "
                    "remove one of them"
                )
            homes |= dict.fromkeys(held, path)
            common = sorted(held.intersection(staged.keys))
            if common:
                there = file.read(columns=ACCURACIES.names).cast(ACCURACIES)
                with pq.ParquetFile(staged.parquet) as new:
                    brought = new.read()
                same += [key for key in common if _rows(there, key).equals(_rows(brought, key))]
    return Addition(
        new=tuple(key for key in staged.keys if key not in homes),
        same=tuple(sorted(same)),
        different={key: homes[key] for key in staged.keys if key in homes and key not in same},
    )


def check_addition(dataset: Dataset, staged: StagedAccuracies, addition: Addition) -> None:
    """Refuse accuracies of which a dataset holds other rows.

    Raises:
        DatasetError: names the file that is in the way, and how to replace what it holds.
    """
    for key, path in addition.different.items():
        with dataset.storage.open_parquet(path) as file:
            digests = _rows(file.read(columns=[*_KEY, "arch_id", "seed", "source_digest"]), key, keep=("source_digest",))
        (digest, *_) = digests["source_digest"].to_pylist()
        raise DatasetError(
            f"{dataset.storage.path(path)} already holds {name_of(key)} accuracies, with other rows, from a source with "
            f"SHA-256 {digest[:8]}...; `naswot-ray accuracies` and `join` take those from {staged.source} in their place with "
            "--replace"
        )


def add_accuracies(dataset: Dataset, staged: StagedAccuracies, *, replace: bool = False) -> Addition:
    """Write accuracy rows into a dataset; those that it holds already are left alone.

    A file holds all rows of its (dataset, split, epochs), and no other file has rows of these. To replace some, the file that
    holds them is written again, under its own name, with the new rows in their place and its other rows as they are: one step
    (`Storage.write_bytes`), so that whoever is killed leaves the old rows or the new ones. A second file that is removed before
    or after could leave neither or both. What the dataset does not hold yet goes to a file of its own.

    Args:
        dataset: to write to.
        staged: the rows.
        replace: whether its rows take the place of others of the same (dataset, split, epochs).

    Two imports at once take turns on a local disk. In an object store, which has no locks, each looks again after it has
    written, and takes its own file back if it finds another one with the same accuracies.

    Returns:
        what became of each (dataset, split, epochs).

    Raises:
        DatasetError: the dataset already holds other accuracies of the same (dataset, split, epochs), and `replace` is not set;
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
            replaced = [key for key, home in addition.different.items() if home == path]
            with dataset.storage.open_parquet(path) as old:
                batches = itertools.chain(_select(old, replaced, invert=True), _select(new, replaced))
                parquet = seal.sealed(ACCURACIES, batches, functools.partial(PurePosixPath, path))
            dataset.storage.write_bytes(path, parquet)
        if addition.new:
            path = _path_of(staged.space, staged.source, staged.digest, addition.new)
            is_all = addition.new == staged.keys
            parquet = staged.parquet if is_all else seal.sealed(ACCURACIES, _select(new, addition.new), lambda: path)
            dataset.storage.write_bytes(path, parquet)
            _check_alone(dataset, staged.space, path, addition.new)
    return addition


def _check_alone(dataset: Dataset, space: str, path: PurePosixPath, keys: Collection[Key]) -> None:
    """Remove a file that has just been written if another import has written accuracies of the same keys meanwhile.

    Raises:
        DatasetError: it has.
    """
    for other in _files(dataset, space):
        if other != path and (both := keys_of(dataset, other).intersection(keys)):
            dataset.storage.remove(path)
            raise DatasetError(
                f"{dataset.storage.path(other)} was imported at the same time and holds {name_of(min(both))} accuracies too: "
                "nothing was added; run the same command again"
            )


def keys_of(dataset: Dataset, path: PurePosixPath) -> set[Key]:
    """The (dataset, split, epochs) that a file holds accuracies of.

    Raises:
        DatasetError: it is damaged.
    """
    with dataset.storage.open_parquet(path) as file:
        return _keys_of(file.read(columns=list(_KEY)))


def name_of(key: Key) -> str:
    """A (dataset, split, epochs) for people."""
    return "/".join(map(str, key))


def _files(dataset: Dataset, space: str) -> list[PurePosixPath]:
    named = ((file.path, layout.table_file(file.path)) for file in dataset.files("accuracies"))
    return [path for path, found in named if found is not None and found.space == space]


def _path_of(space: str, source: str, digest: str, keys: Sequence[Key]) -> PurePosixPath:
    """By source and content, so that the same import gets the same name."""
    names = " ".join([digest, *map(name_of, keys)])
    return layout.accuracies(space, f"{source}-{hashlib.sha256(names.encode()).hexdigest()[:8]}")


def _keys_of(table: pa.Table) -> set[Key]:
    found = table.group_by(list(_KEY)).aggregate([])
    return set(zip(*(found[name].to_pylist() for name in _KEY), strict=True))


def _is_one_of(keys: Collection[Key]) -> pc.Expression:
    matches = [functools.reduce(and_, (pc.field(name) == value for name, value in zip(_KEY, key, strict=True))) for key in keys]
    return functools.reduce(or_, matches, pc.scalar(False))


def _select(file: pq.ParquetFile, keys: Collection[Key], *, invert: bool = False) -> Iterator[pa.RecordBatch]:
    """The rows of some (dataset, split, epochs), or of all others."""
    chosen = ~_is_one_of(keys) if invert else _is_one_of(keys)
    for batch in file.iter_batches(_ROWS_PER_BATCH, columns=ACCURACIES.names):
        yield from pa.Table.from_batches([batch]).cast(ACCURACIES).filter(chosen).to_batches()


def _rows(table: pa.Table, key: Key, keep: Collection[str] | None = None) -> pa.Table:
    """The rows of one (dataset, split, epochs) in a fixed order, without where they were read from."""
    rows = table.filter(_is_one_of([key])).sort_by([("arch_id", "ascending"), ("seed", "ascending")])
    names = keep if keep is not None else [name for name in rows.column_names if name != "source_digest"]
    return rows.select(list(names)).combine_chunks()
