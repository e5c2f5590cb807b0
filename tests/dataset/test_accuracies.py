"""Which accuracies a dataset accepts, even if others import some at the same time."""

from __future__ import annotations

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pyarrow.parquet as pq
import pytest

from naswot_ray.dataset.accuracies import add_accuracies
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from naswot_ray.dataset.label import Label
from naswot_ray.errors import DatasetError
from tests.dataset.making import (
    SPACE,
    Row,
    add,
    make_dataset,
    mean_accuracy,
    snapshot,
    staged,
    write_sealed,
)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return make_dataset(tmp_path / "d")


def files_of(dataset: Dataset) -> list[Path]:
    return sorted((Path(dataset.storage.root) / "accuracies").rglob("*.parquet"))


def sorted_rows(rows: list[Row]) -> list[Row]:
    names = ("dataset", "split", "epochs", "arch_id", "accuracy")
    return sorted(({name: row[name] for name in names} for row in rows), key=lambda row: tuple(row.values()))


def accuracies(dataset: Dataset) -> list[Row]:
    return sorted_rows(dataset.accuracies.to_table().to_pylist())


def test_the_same_source_again_is_not_written(dataset: Dataset) -> None:
    rows = [mean_accuracy(i) for i in range(8)]
    add(dataset, rows)
    files = list((Path(dataset.storage.root) / "accuracies").rglob("*.parquet"))
    before = [file.stat().st_ino for file in files]
    add(dataset, rows)
    assert [file.stat().st_ino for file in (Path(dataset.storage.root) / "accuracies").rglob("*.parquet")] == before
    assert dataset.accuracies.count_rows() == 8


def test_other_accuracies_of_the_same_source_are_taken(dataset: Dataset) -> None:
    """One table, read twice with different --map."""
    add(dataset, [mean_accuracy(i) for i in range(8)])
    add(dataset, [mean_accuracy(i, dataset="cifar100") for i in range(8)])
    assert dataset.accuracies.count_rows() == 16


def test_other_values_of_the_same_source_are_refused(dataset: Dataset) -> None:
    """One table, whose accuracies were first read from the wrong column."""
    add(dataset, [mean_accuracy(i) for i in range(8)])
    with pytest.raises(DatasetError, match="cifar10/test/200"):
        add(dataset, [mean_accuracy(i, accuracy=1.0) for i in range(8)])


@pytest.mark.parametrize("source", ["table.csv", "other.csv"])
def test_a_second_source_of_the_same_accuracies_is_refused(dataset: Dataset, source: str) -> None:
    add(dataset, [mean_accuracy(i) for i in range(8)])
    there = snapshot(dataset.storage.root)
    with pytest.raises(DatasetError) as caught:
        add(dataset, [mean_accuracy(9), mean_accuracy(9, split="valid")], source=source, digest="e" * 64)
    message = str(caught.value)
    assert "already holds cifar10/test/200 accuracies" in message
    assert "SHA-256 dddddddd..." in message
    assert source in message
    assert str(Path(dataset.storage.root) / "accuracies") in message
    assert snapshot(dataset.storage.root) == there


def test_other_accuracies_of_the_same_table_keep_those_that_are_there(dataset: Dataset) -> None:
    """One table, read again with one more --map."""
    rows = [mean_accuracy(i) for i in range(8)]
    add(dataset, rows)
    (file,) = files_of(dataset)
    before = file.stat().st_ino
    more = [mean_accuracy(i, dataset="cifar100") for i in range(8)]
    addition = add_accuracies(dataset, staged([*rows, *more]))
    assert (addition.new, addition.same, addition.different) == (
        (Label("cifar100", "test", 200),),
        (Label("cifar10", "test", 200),),
        {},
    )
    assert file.stat().st_ino == before
    assert accuracies(dataset) == sorted_rows([*rows, *more])
    assert add_accuracies(dataset, staged([*more, *rows])).same == (
        Label("cifar10", "test", 200),
        Label("cifar100", "test", 200),
    )
    assert len(files_of(dataset)) == 2


def test_the_same_rows_of_another_file_are_left_alone(dataset: Dataset) -> None:
    rows = [mean_accuracy(i) for i in range(8)]
    add(dataset, rows)
    there = snapshot(dataset.storage.root)
    add(dataset, rows[::-1], source="sorted.parquet", digest="e" * 64)
    assert snapshot(dataset.storage.root) == there


def test_a_second_column_of_the_same_table_is_refused(dataset: Dataset) -> None:
    add(dataset, [mean_accuracy(i) for i in range(8)])
    (file,) = files_of(dataset)
    there = snapshot(dataset.storage.root)
    with pytest.raises(DatasetError) as caught:
        add(dataset, [mean_accuracy(i, accuracy=1.0) for i in range(8)] + [mean_accuracy(i, split="valid") for i in range(8)])
    assert str(file) in str(caught.value)
    assert "cifar10/test/200" in str(caught.value)
    assert "--replace" in str(caught.value)
    assert snapshot(dataset.storage.root) == there


def test_replacing(dataset: Dataset) -> None:
    kept = [mean_accuracy(i, dataset="cifar100") for i in range(8)]
    add(dataset, [*(mean_accuracy(i) for i in range(8)), *kept])
    add(dataset, [mean_accuracy(i, split="valid") for i in range(3)], source="other.csv", digest="e" * 64)
    names = [file.name for file in files_of(dataset)]
    new = [mean_accuracy(i, accuracy=1.0 + i) for i in range(2, 6)]
    valid = [mean_accuracy(i, split="valid", accuracy=2.0 + i) for i in range(5)]
    short = [mean_accuracy(i, epochs=12) for i in range(4)]
    addition = add_accuracies(dataset, staged([*new, *valid, *short], source="new.csv", digest="f" * 64), replace=True)
    assert (addition.new, addition.same) == ((Label("cifar10", "test", 12),), ())
    assert sorted(addition.different) == [Label("cifar10", "test", 200), Label("cifar10", "valid", 200)]
    assert accuracies(dataset) == sorted_rows([*kept, *new, *valid, *short])
    found = dataset.accuracies.to_table().to_pylist()
    assert {row["source_digest"][0] for row in found if row["dataset"] == "cifar100"} == {"d"}
    assert {row["source_digest"][0] for row in found if row["dataset"] == "cifar10"} == {"f"}
    assert set(names) < {file.name for file in files_of(dataset)}
    add_accuracies(dataset, staged([*new, *valid, *short], source="new.csv", digest="f" * 64))


def test_a_kill_while_replacing_leaves_old_or_new_rows(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    test, valid = (("cifar10", split, 200) for split in ("test", "valid"))
    old = {key: [mean_accuracy(i, split=key[1]) for i in range(8)] for key in (test, valid)}
    new = {key: [mean_accuracy(i, split=key[1], accuracy=1.0) for i in range(4)] for key in (test, valid)}
    for key, digest in ((test, "d"), (valid, "e")):
        add(dataset, old[key], source=f"{key[1]}.csv", digest=digest * 64)
    both = staged([*new[test], *new[valid]], source="new.csv", digest="f" * 64)
    write = dataset.storage.write_bytes
    writes: list[PurePosixPath] = []

    def write_once(path: PurePosixPath, data: bytes) -> None:
        if writes:
            raise KeyboardInterrupt
        writes.append(path)
        write(path, data)

    monkeypatch.setattr(dataset.storage, "write_bytes", write_once)
    with pytest.raises(KeyboardInterrupt):
        add_accuracies(dataset, both, replace=True)
    states = [sorted_rows([*(one[test]), *(other[valid])]) for one, other in ((old, new), (new, old))]
    assert accuracies(dataset) in states
    monkeypatch.undo()
    assert len(add_accuracies(dataset, both, replace=True).same) == 1
    assert accuracies(dataset) == sorted_rows([*new[test], *new[valid]])


def test_a_copy_of_an_accuracies_file(dataset: Dataset) -> None:
    add(dataset, [mean_accuracy(i) for i in range(8)])
    (file,) = files_of(dataset)
    copy = file.with_stem(f"{file.stem}-copy")
    copy.write_bytes(file.read_bytes())
    for use in (lambda: join(dataset, SPACE), lambda: add(dataset, [mean_accuracy(9)]), dataset.connect):
        with pytest.raises(DatasetError, match=f"{re.escape(copy.name)} is a copy of accuracies/{re.escape(file.name)}"):
            use()


def test_two_files_of_the_same_accuracies(dataset: Dataset) -> None:
    add(dataset, [mean_accuracy(i) for i in range(8)])
    (file,) = files_of(dataset)
    write_sealed(file.with_stem(f"{file.stem}-other"), pq.read_table(file))
    with pytest.raises(DatasetError, match=r"holds the cifar10/test/200 accuracy of .* twice"):
        join(dataset, SPACE)
    with pytest.raises(DatasetError, match="both hold cifar10/test/200 accuracies; remove one of them"):
        add(dataset, [mean_accuracy(9)])


def test_two_imports_at_once_take_turns(dataset: Dataset) -> None:
    """Both imports have read their files, and neither has looked into the dataset yet."""
    imports = [staged([mean_accuracy(i, accuracy=value) for i in range(8)], source=f"{value}.csv") for value in (1.0, 2.0)]
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(add_accuracies, Dataset(dataset.storage.root), one) for one in imports]
    errors = [one.exception() for one in done]
    assert sum(error is None for error in errors) == 1
    assert any("already holds cifar10/test/200 accuracies" in str(error) for error in errors)
    assert len(files_of(dataset)) == 1


def test_an_import_that_finds_another_one_takes_its_own_back(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object store has no locks: the other import has written after this one has looked."""
    other = staged([mean_accuracy(i, accuracy=2.0) for i in range(3)], source="other.csv")
    there = make_dataset(Path(dataset.storage.root).parent / "there")
    add_accuracies(there, other)
    (file,) = files_of(there)
    write = dataset.storage.write_bytes

    def write_at_once(path: PurePosixPath, data: bytes) -> None:
        shutil.copy(file, Path(dataset.storage.path(path)).parent)
        write(path, data)

    monkeypatch.setattr(dataset.storage, "write_bytes", write_at_once)
    with pytest.raises(DatasetError, match=f"{re.escape(file.name)} was imported at the same time and holds cifar10/test/200"):
        add(dataset, [mean_accuracy(i) for i in range(8)])
    assert [path.name for path in files_of(dataset)] == [file.name]
