"""Scores joined with accuracies: what matches, what does not, and whether joined rows are complete and up to date."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from naswot_ray.dataset import layout
from naswot_ray.dataset.accuracies import add_accuracies
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import check_whole, describe_stale, join, stale_joins, unfinished_joins
from naswot_ray.errors import DatasetError
from tests.dataset.making import (
    FAILED,
    SINGULAR,
    SPACE,
    TABLES,
    Row,
    add,
    arch_id,
    architecture_row,
    make_dataset,
    mean_accuracy,
    score_row,
    snapshot,
    staged,
    write_sealed,
)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return make_dataset(tmp_path / "d")


def joined(dataset: Dataset) -> list[Row]:
    order = [(name, "ascending") for name in ("images", "batch_size", "seed", "arch_index", "dataset", "split", "epochs")]
    found: list[Row] = dataset.joined.to_table().sort_by(order).to_pylist()
    return found


def unmatched(dataset: Dataset) -> list[dict[str, str]]:
    with (Path(dataset.storage.root) / layout.unmatched(SPACE)).open(newline="") as file:
        return list(csv.DictReader(file))


def expected(index: int, accuracy: Row, **key: Any) -> Row:
    row = score_row(index, **key) | architecture_row(index) | {"status": "ok"} | accuracy
    return {name: row[name] for name in TABLES["joined"].names}


def test_rows_are_scores_times_mean_accuracies(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", batch_sizes=(4, 8), seeds=(0, 1))
    settings: list[Row] = [{}, {"split": "valid"}, {"dataset": "cifar100", "epochs": 12, "num_repeats": 2}]
    add(dataset, [mean_accuracy(i, **changes) for i in range(8) for changes in settings])
    report = join(dataset, SPACE)
    assert (report.num_rows, report.num_matched, report.only_scored, report.only_trained) == (8 * 4 * 3, 8, [], [])
    assert joined(dataset) == [
        expected(i, mean_accuracy(i, **changes), batch_size=batch_size, seed=seed)
        for batch_size in (4, 8)
        for seed in (0, 1)
        for i in range(8)
        for changes in settings
    ]
    assert unmatched(dataset) == []


def test_repeats_are_kept_but_not_joined(dataset: Dataset) -> None:
    add(dataset, [mean_accuracy(0), *(mean_accuracy(0, seed=seed, accuracy=1.0, num_repeats=None) for seed in (777, 888))])
    assert join(dataset, SPACE).num_rows == 1
    assert joined(dataset) == [expected(0, mean_accuracy(0))]
    assert dataset.accuracies.count_rows() == 3


def test_what_only_one_side_has_is_counted_and_listed(dataset: Dataset) -> None:
    add(dataset, [mean_accuracy(i) for i in (100, 5, 2, 90)])
    report = join(dataset, SPACE)
    assert (report.num_rows, report.num_matched) == (2, 2)
    assert report.only_scored == [arch_id(i) for i in (0, 1, 3, 4, 6, 7)]
    assert report.only_trained == sorted([arch_id(90), arch_id(100)])
    assert [row["arch_index"] for row in joined(dataset)] == [2, 5]
    assert Path(report.unmatched_path).is_file()
    assert unmatched(dataset) == [
        *({"arch_id": name, "has_only": "score"} for name in report.only_scored),
        *({"arch_id": name, "has_only": "accuracy"} for name in report.only_trained),
    ]


def test_nothing_in_common(dataset: Dataset) -> None:
    """The accuracies are of other architectures; an accuracy that is not a mean does not count."""
    add(dataset, [mean_accuracy(100), mean_accuracy(0, seed=777)])
    there = snapshot(dataset.storage.root)
    with pytest.raises(DatasetError) as caught:
        join(dataset, SPACE)
    message = str(caught.value)
    assert f"none of the 8 architectures of {SPACE} with a score (such as {arch_id(0)})" in message
    assert f"is among the 1 with an accuracy (such as {arch_id(100)})" in message
    assert snapshot(dataset.storage.root) == there


def test_failed_and_singular_rows_are_joined_as_they_are(tmp_path: Path) -> None:
    changes = {1: FAILED, 2: SINGULAR}
    dataset = make_dataset(tmp_path / "d", change=lambda row: changes.get(row["arch_index"], {}))
    add(dataset, [mean_accuracy(i) for i in range(4)])
    assert join(dataset, SPACE).num_rows == 4
    found = {row["arch_index"]: (row["naswot"], row["status"]) for row in joined(dataset)}
    assert found == {0: (100.0, "ok"), 1: (None, "failed"), 2: (float("-inf"), "singular"), 3: (103.0, "ok")}


def test_joining_again_changes_nothing(dataset: Dataset) -> None:
    add(dataset, [mean_accuracy(i) for i in range(2, 10)])
    first = join(dataset, SPACE)
    there = snapshot(dataset.storage.root)
    assert join(dataset, SPACE) == first
    assert snapshot(dataset.storage.root) == there


def test_joining_again_takes_what_is_new(dataset: Dataset) -> None:
    add(dataset, [mean_accuracy(i) for i in range(8)])
    join(dataset, SPACE)
    add(dataset, [mean_accuracy(i, dataset="cifar100") for i in range(8)], source="other.csv", digest="e" * 64)
    assert join(dataset, SPACE).num_rows == 16
    assert {row["dataset"] for row in joined(dataset)} == {"cifar10", "cifar100"}


def test_another_space_may_have_the_same_accuracies(dataset: Dataset) -> None:
    add(dataset, [mean_accuracy(0)])
    add(dataset, [mean_accuracy(0)], space="other", source="other.csv", digest="e" * 64)
    assert dataset.accuracies.count_rows() == 2
    assert join(dataset, SPACE).num_rows == 1


@pytest.mark.parametrize("source", ["a/b.csv", "späte Tabelle.csv", ".hidden.csv", "x" * 200 + ".csv"])
def test_sources_with_odd_names(dataset: Dataset, source: str) -> None:
    add(dataset, [mean_accuracy(i) for i in range(8)], source=source)
    assert dataset.accuracies.count_rows() == 8
    assert join(dataset, SPACE).num_rows == 8


def test_nothing_to_join(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match=rf"holds no accuracies of {SPACE}: nothing to join"):
        join(dataset, SPACE)
    with pytest.raises(DatasetError, match="holds no scores of other: nothing to join"):
        join(dataset, "other")


def test_a_damaged_part_is_a_clear_error(dataset: Dataset) -> None:
    add(dataset, [mean_accuracy(i) for i in range(8)])
    part = next((Path(dataset.storage.root) / "scores").rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:1000])
    with pytest.raises(DatasetError, match=part.name):
        join(dataset, SPACE)


def test_a_damaged_accuracies_file_is_a_clear_error(dataset: Dataset) -> None:
    add(dataset, [mean_accuracy(i) for i in range(8)])
    file = next((Path(dataset.storage.root) / "accuracies").rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DatasetError, match=file.name):
        join(dataset, SPACE)
    with pytest.raises(DatasetError, match=file.name):
        add(dataset, [mean_accuracy(9, split="valid")], source="other.csv", digest="e" * 64)


@pytest.mark.parametrize("num_written", [0, 1, 2, 3])
@pytest.mark.parametrize("before", ["nothing", "an older join"])
def test_a_join_that_is_killed_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_written: int, before: str
) -> None:
    dataset = make_dataset(tmp_path / "d", batch_sizes=(4, 8), seeds=(0, 1))
    add(dataset, [mean_accuracy(i) for i in range(8)])
    if before == "an older join":
        join(dataset, SPACE)
        add(dataset, [mean_accuracy(i, split="valid") for i in range(8)])
    write, writes = dataset.storage.write_table, 0

    def write_some(path: PurePosixPath, table: pa.Table) -> int:
        nonlocal writes
        writes += 1
        if writes > num_written:
            raise KeyboardInterrupt
        return write(path, table)

    monkeypatch.setattr(dataset.storage, "write_table", write_some)
    with pytest.raises(KeyboardInterrupt):
        join(dataset, SPACE)
    monkeypatch.undo()
    if num_written:
        with pytest.raises(DatasetError, match=f"of {SPACE}: run `naswot-ray join {tmp_path / 'd'} --space {SPACE}` again"):
            check_whole(dataset)
        assert list(unfinished_joins(dataset)) == [SPACE]
    else:
        assert unfinished_joins(dataset) == {}
    assert stale_joins(dataset) or not dataset.files("joined")
    join(dataset, SPACE)
    check_whole(dataset)
    assert stale_joins(dataset) == []


def test_a_join_is_up_to_date_until_something_changes(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", batch_sizes=(4, 8))
    assert stale_joins(dataset) == []
    add(dataset, [mean_accuracy(i) for i in range(8)])
    assert stale_joins(dataset) == []  # this space was never joined
    join(dataset, SPACE)
    assert stale_joins(dataset) == []
    shutil.copytree(tmp_path / "d", tmp_path / "elsewhere")
    assert stale_joins(Dataset(tmp_path / "elsewhere")) == []


def reasons(dataset: Dataset) -> list[str]:
    return sorted({stale.reason for stale in stale_joins(dataset)})


def test_a_join_that_is_older(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", batch_sizes=(4, 8))
    add(dataset, [mean_accuracy(i) for i in range(8)])
    join(dataset, SPACE)
    make_dataset(tmp_path / "d", indices=range(12), batch_sizes=(4,))
    assert reasons(dataset) == ["older than the architectures", "older than the scores and architectures"]
    (line,) = describe_stale(dataset, stale_joins(dataset))
    assert line == (
        f"{SPACE}: the join is older than the scores and architectures (files to be made again: 2): "
        f"run `naswot-ray join {tmp_path / 'd'} --space {SPACE}` again"
    )
    join(dataset, SPACE)
    assert reasons(dataset) == []
    make_dataset(tmp_path / "d", indices=range(12), batch_sizes=(4,), seeds=(1,))
    assert [(s.reason, s.is_there) for s in stale_joins(dataset)] == [("missing, the join is older than the scores", False)]
    join(dataset, SPACE)
    add(dataset, [mean_accuracy(i, split="valid") for i in range(8)])
    assert reasons(dataset) == ["older than the accuracies"]
    join(dataset, SPACE)
    add_accuracies(dataset, staged([mean_accuracy(i, accuracy=3.0) for i in range(7)]), replace=True)
    assert reasons(dataset) == ["older than the accuracies"]


def test_joined_rows_of_scores_that_were_removed(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", batch_sizes=(4, 8))
    add(dataset, [mean_accuracy(i) for i in range(8)])
    join(dataset, SPACE)
    for file in (tmp_path / "d" / "scores").rglob("*.parquet"):
        if pq.read_table(file)["batch_size"][0].as_py() == 8:
            file.unlink()
    assert reasons(dataset) == ["older than the scores"]
    join(dataset, SPACE)
    assert reasons(dataset) == []
    assert {row["batch_size"] for row in joined(dataset)} == {4}


def test_joined_rows_that_do_not_tell_what_they_were_made_from(dataset: Dataset) -> None:
    add(dataset, [mean_accuracy(i) for i in range(8)])
    join(dataset, SPACE)
    (file,) = (Path(dataset.storage.root) / "joined").rglob("*.parquet")
    write_sealed(file, pq.read_table(file).replace_schema_metadata())
    assert reasons(dataset) == ["of unknown age"]
    assert unfinished_joins(dataset) == {SPACE: "files that do not tell which join they belong to"}
