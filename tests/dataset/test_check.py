"""Every way in which a dataset's files can be wrong is told, by its name; only what is provably broken is removed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from naswot_ray.dataset import check, layout, parts
from naswot_ray.dataset.check import Kind, Problem
from naswot_ray.dataset.digest import content_digest
from naswot_ray.dataset.opening import Dataset
from tests.dataset.making import SPACE, add, make_dataset, mean_accuracy, snapshot

PART = layout.scores(SPACE, "noise", 4, 0, 0)
OTHER = layout.scores(SPACE, "noise", 4, 0, 1)
OTHER_SEED = layout.scores(SPACE, "noise", 4, 1, 0)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    dataset = make_dataset(tmp_path / "d", seeds=(0, 1))
    add(dataset, [mean_accuracy(i) for i in range(8)])
    return dataset


def problems_of(dataset: Dataset) -> list[Problem]:
    return [problem for found in check.check_files(dataset, check.list_files(dataset)) for problem in found]


def file(dataset: Dataset, path: PurePosixPath) -> Path:
    return Path(dataset.storage.path(path))


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a part's rows with another program, which keeps its metadata."""
    table = pq.ParquetFile(path).read()
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), path)


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)


def test_a_sound_dataset_has_no_problems(dataset: Dataset) -> None:
    assert problems_of(dataset) == []


def test_a_part_that_is_cut_off(dataset: Dataset) -> None:
    path = file(dataset, PART)
    path.write_bytes(path.read_bytes()[:-100])
    (problem,) = problems_of(dataset)
    assert (problem.kind, problem.path, problem.removable) == (Kind.CORRUPT, PART, True)


def test_any_byte_that_flips_in_the_pages_is_found_or_changes_nothing(dataset: Dataset) -> None:
    path = file(dataset, PART)
    data, rows = path.read_bytes(), pq.ParquetFile(path).read()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    num_found = 0
    for position in range(4, footer, 97):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :])
        found = problems_of(dataset)
        num_found += bool(found)
        if found:
            assert [(p.kind, p.path) for p in found] == [(Kind.CORRUPT, PART)], position
        else:
            assert pq.ParquetFile(path).read() == rows, position
    assert num_found > 10


def test_a_score_that_was_altered(dataset: Dataset) -> None:
    rewrite(file(dataset, PART), lambda t: with_column(t, "score", pc.add(t["score"], 1e-9)))
    (problem,) = problems_of(dataset)
    assert (problem.kind, problem.removable) == (Kind.CORRUPT, True)
    assert "content digest" in problem.reason


def test_rows_that_were_taken_out(dataset: Dataset) -> None:
    rewrite(file(dataset, PART), lambda t: t.slice(0, 3))
    assert [(p.kind, p.reason) for p in problems_of(dataset)] == [(Kind.CORRUPT, "holds 3 rows, 4 were written")]


@pytest.mark.parametrize("name", [OTHER.name.replace("000001", "000009"), f"{PART.stem} (conflicted copy).parquet"])
def test_a_copy_of_a_part_is_a_duplicate(dataset: Dataset, name: str) -> None:
    shutil.copy(file(dataset, PART), file(dataset, PART.with_name(name)))
    (problem,) = problems_of(dataset)
    assert (problem.kind, problem.path.name, problem.removable) == (Kind.DUPLICATE, name, True)
    assert str(PART) in problem.reason


def test_a_part_in_the_place_of_another(dataset: Dataset) -> None:
    shutil.copy(file(dataset, PART), file(dataset, OTHER_SEED))
    (problem,) = problems_of(dataset)
    assert (problem.kind, problem.path, problem.removable) == (Kind.DUPLICATE, OTHER_SEED, True)


def test_a_part_that_was_moved_away_from_its_place_is_kept(dataset: Dataset) -> None:
    file(dataset, PART).rename(file(dataset, layout.scores(SPACE, "noise", 4, 0, 9)))
    (problem,) = problems_of(dataset)
    assert (problem.kind, problem.removable) == (Kind.FOREIGN, False)
    assert f"holds rows of {PART}, which is not there" in problem.reason


def test_an_architecture_that_is_there_twice(dataset: Dataset) -> None:
    path = file(dataset, PART)
    table = pq.ParquetFile(path).read()
    twice = pa.concat_tables([table.slice(0, 2), table.slice(0, 2)])
    metadata = table.schema.metadata | {parts.DIGEST_KEY: content_digest(twice)}
    pq.write_table(twice.replace_schema_metadata(metadata), path)
    assert [(p.kind, p.path, p.removable) for p in problems_of(dataset)] == [(Kind.DUPLICATE, PART, True)]


def test_a_part_of_other_settings_is_told_and_kept(dataset: Dataset) -> None:
    path = file(dataset, PART)
    table = pq.ParquetFile(path).read()
    pq.write_table(table.replace_schema_metadata(table.schema.metadata | {parts.FINGERPRINT_KEY: "f" * 64}), path)
    assert [(p.kind, p.path, p.removable) for p in problems_of(dataset)] == [(Kind.SETTINGS, PART, False)]


def test_a_part_without_a_digest_cannot_be_verified(dataset: Dataset) -> None:
    path = file(dataset, PART)
    pq.write_table(pq.ParquetFile(path).read().replace_schema_metadata(None), path)
    assert [(p.kind, p.removable) for p in problems_of(dataset)] == [(Kind.UNVERIFIED, False)]


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        ".DS_Store",
        "scores/README.md",
        "scores/x.csv",
        f"scores/._{PART.name}",
        f"joined/._{PART.name}",
        "scores/anything.parquet",
        "accuracies/y.json",
        "accuracies/copy of nasbench201.table.parquet",
        "runs/x",
        "runs/._x.json",
        "receipts/x.parquet",
    ],
)
def test_a_strangers_file_is_told_and_kept(dataset: Dataset, name: str) -> None:
    path = file(dataset, PurePosixPath(name))
    path.parent.mkdir(exist_ok=True)
    path.write_text("hello")
    assert [(p.kind, str(p.path), p.removable) for p in problems_of(dataset)] == [(Kind.FOREIGN, name, False)]


def test_a_table_of_another_kind_is_foreign(dataset: Dataset) -> None:
    pq.write_table(pa.table({"a": [1]}), file(dataset, OTHER))
    assert [(p.kind, p.path, p.removable) for p in problems_of(dataset)] == [(Kind.FOREIGN, OTHER, False)]


def test_a_space_that_the_manifest_does_not_tell_of(dataset: Dataset, tmp_path: Path) -> None:
    target = file(dataset, layout.architectures("mine", 0))
    rows = pq.ParquetFile(file(dataset, layout.architectures(SPACE, 0))).read()
    rows = with_column(rows, "space", pa.array(["mine"] * 4))
    metadata = rows.schema.metadata | {parts.DIGEST_KEY: content_digest(rows)}
    pq.write_table(rows.replace_schema_metadata(metadata), target)
    (problem,) = problems_of(dataset)
    assert (problem.kind, problem.removable) == (Kind.FOREIGN, False)
    assert "dataset.json does not tell of mine" in problem.reason


def test_damaged_accuracies_and_records_are_told_and_kept(dataset: Dataset) -> None:
    (accuracies,) = file(dataset, PurePosixPath("accuracies")).rglob("*.parquet")
    (record,) = file(dataset, PurePosixPath("runs")).iterdir()
    for path in (accuracies, record):
        path.write_bytes(path.read_bytes()[:-20])
    found = problems_of(dataset)
    assert [(p.kind, p.removable) for p in found] == [(Kind.CORRUPT, False)] * 2
    assert check.remove(dataset, found) == []


def test_leftovers_of_writing_are_no_problem(dataset: Dataset) -> None:
    file(dataset, layout.temporary(PART, "abc")).write_bytes(b"half")
    assert problems_of(dataset) == []


def test_repair_removes_what_is_broken_and_nothing_else(dataset: Dataset) -> None:
    rewrite(file(dataset, PART), lambda t: t.slice(0, 3))
    copy = layout.scores(SPACE, "noise", 4, 0, 9)
    shutil.copy(file(dataset, OTHER), file(dataset, copy))
    file(dataset, PurePosixPath("notes.txt")).write_text("hello")
    before = snapshot(file(dataset, PurePosixPath()))
    assert sorted(check.remove(dataset, problems_of(dataset))) == [PART, copy]
    assert before.keys() - snapshot(file(dataset, PurePosixPath())).keys() == {str(PART), str(copy)}
    assert [p.kind for p in problems_of(dataset)] == [Kind.FOREIGN]
