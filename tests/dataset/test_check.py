"""Every kind of fault in a dataset's files is reported by its name; only broken or redundant files are moved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from naswot_ray.dataset import check, layout, manifest, removed_files
from naswot_ray.dataset.agreement import check_agreement
from naswot_ray.dataset.check import Kind, Problem
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from naswot_ray.grid.coverage import coverage_of
from tests.dataset.making import SPACE, add, make_dataset, mean_accuracy, rewrite, snapshot, write_sealed

PART = layout.scores(SPACE, "noise", 4, 0, 0)
OTHER = layout.scores(SPACE, "noise", 4, 0, 1)
OTHER_SEED = layout.scores(SPACE, "noise", 4, 1, 0)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    dataset = make_dataset(tmp_path / "d", seeds=(0, 1))
    add(dataset, [mean_accuracy(i) for i in range(8)])
    return dataset


def problems_of(dataset: Dataset) -> list[Problem]:
    found = [problem for found in check.check_files(dataset, check.list_files(dataset)) for problem in found]
    return found + check_agreement(dataset, {problem.path for problem in found})


def file(dataset: Dataset, path: PurePosixPath) -> Path:
    return Path(dataset.storage.path(path))


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)


def test_a_sound_dataset_has_no_problems(dataset: Dataset) -> None:
    assert problems_of(dataset) == []


def test_a_part_that_is_cut_off(dataset: Dataset) -> None:
    path = file(dataset, PART)
    path.write_bytes(path.read_bytes()[:-100])
    (problem,) = problems_of(dataset)
    assert (problem.kind, problem.path, problem.removable) == (Kind.CORRUPT, PART, True)


@pytest.mark.parametrize("path", [PART, layout.architectures(SPACE, 1)])
def test_any_byte_that_flips_is_found_and_ends_nothing(dataset: Dataset, path: PurePosixPath) -> None:
    whole = file(dataset, path).read_bytes()
    (file(dataset, OTHER_SEED)).write_bytes(b"")
    for position in range(0, len(whole), 97):
        file(dataset, path).write_bytes(whole[:position] + bytes([whole[position] ^ 0x90]) + whole[position + 1 :])
        found = {problem.path: problem.kind for problem in problems_of(dataset)}
        assert found.keys() == {path, OTHER_SEED}
        assert found[path] in (Kind.CORRUPT, Kind.UNVERIFIED), position


def test_a_score_that_another_program_altered(dataset: Dataset) -> None:
    """The other program copies the metadata, so there is a seal, but a wrong one."""
    with pq.ParquetFile(file(dataset, PART)) as content:
        table = content.read()
    pq.write_table(with_column(table, "naswot", pc.add(table["naswot"], 1e-9)), file(dataset, PART))
    (problem,) = problems_of(dataset)
    assert (problem.kind, problem.removable) == (Kind.CORRUPT, True)


def test_rows_that_were_taken_out(dataset: Dataset) -> None:
    """This program changed the file, so the seal is right. The grids of the runs show that rows are missing."""
    rewrite(file(dataset, PART), lambda t: t.slice(0, 3))
    assert problems_of(dataset) == []
    assert sum(coverage.wanted - coverage.present for coverage in coverage_of(dataset).values()) == 1


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


@pytest.mark.parametrize("name", [OTHER.name.replace("000001", "000009"), f"{PART.stem} (conflicted copy).parquet"])
def test_a_copy_with_more_rows_than_the_part_is_kept(dataset: Dataset, name: str) -> None:
    copy = PART.with_name(name)
    shutil.copy(file(dataset, PART), file(dataset, copy))
    rewrite(file(dataset, PART), lambda t: t.slice(0, 3))
    (problem,) = problems_of(dataset)
    assert (problem.kind, problem.path, problem.removable) == (Kind.DUPLICATE, copy, False)
    assert f"holds rows of {PART}, and 1 of them are not there or differ" in problem.reason


def test_a_copy_with_other_values_is_kept_and_one_that_another_run_computed_is_not(dataset: Dataset) -> None:
    copy = PART.with_name(f"{PART.stem} 2.parquet")
    shutil.copy(file(dataset, PART), file(dataset, copy))
    rewrite(file(dataset, PART), lambda t: with_column(t, "seconds", pc.add(t["seconds"], 1.0)))
    assert [(p.path, p.removable) for p in problems_of(dataset)] == [(copy, True)]
    rewrite(file(dataset, PART), lambda t: with_column(t, "naswot", pc.add(t["naswot"], 1.0)))
    assert [(p.path, p.removable) for p in problems_of(dataset)] == [(copy, False)]


def test_a_copy_of_a_part_that_is_damaged_is_kept(dataset: Dataset) -> None:
    copy = PART.with_name(f"{PART.stem} 2.parquet")
    shutil.copy(file(dataset, PART), file(dataset, copy))
    file(dataset, PART).write_bytes(b"")
    assert {p.path: p.removable for p in problems_of(dataset)} == {PART: True, copy: False}


@pytest.mark.parametrize("shard_size", [2, 8, 1000])
def test_no_part_is_taken_for_a_copy_where_the_shard_size_is_wrong(dataset: Dataset, shard_size: int) -> None:
    """Not even if the fingerprint in `dataset.json` fits the wrong size."""
    wrong = manifest.create(dataset.manifest.settings, shard_size=shard_size)
    manifest.write(dataset.storage, wrong)
    problems = problems_of(Dataset(dataset.storage.root))
    assert problems
    assert not any(problem.removable for problem in problems)


def test_a_part_that_was_moved_away_from_its_place_is_kept(dataset: Dataset) -> None:
    file(dataset, PART).rename(file(dataset, layout.scores(SPACE, "noise", 4, 0, 9)))
    (problem,) = problems_of(dataset)
    assert (problem.kind, problem.removable) == (Kind.FOREIGN, False)
    assert f"holds rows of {PART}, which is not there" in problem.reason


def test_a_copy_with_letters_that_are_none_ends_nothing(dataset: Dataset) -> None:
    """Another program wrote the file, without checksums, and the strings of its rows cannot be read."""
    copy = PART.with_name(f"{PART.stem} 2.parquet")
    table = pq.ParquetFile(file(dataset, PART)).read().replace_schema_metadata(None)
    pq.write_table(table, file(dataset, copy), compression="none", use_dictionary=False)
    data = file(dataset, copy).read_bytes()
    file(dataset, copy).write_bytes(data.replace(b"nor_conv_3x3", b"nor_conv_\xff\xff\xff"))
    (problem,) = problems_of(dataset)
    assert (problem.path, problem.removable) == (copy, False)


def test_an_architecture_that_is_there_twice(dataset: Dataset) -> None:
    rewrite(file(dataset, PART), lambda table: pa.concat_tables([table.slice(0, 2), table.slice(0, 2)]))
    assert [(p.kind, p.path, p.removable) for p in problems_of(dataset)] == [(Kind.DUPLICATE, PART, True)]


def test_a_part_of_other_settings_is_told_and_kept(dataset: Dataset) -> None:
    rewrite(file(dataset, PART), lambda table: table, **{"naswot_ray.fingerprint": "f" * 64})
    assert [(p.kind, p.path, p.removable) for p in problems_of(dataset)] == [(Kind.SETTINGS, PART, False)]


def test_a_part_without_a_seal_cannot_be_verified(dataset: Dataset) -> None:
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
    ],
)
def test_a_strangers_file_is_told_and_kept(dataset: Dataset, name: str) -> None:
    path = file(dataset, PurePosixPath(name))
    path.parent.mkdir(exist_ok=True)
    path.write_text("hello")
    assert [(p.kind, str(p.path), p.removable) for p in problems_of(dataset)] == [(Kind.FOREIGN, name, False)]


def test_a_table_of_another_kind_is_foreign(dataset: Dataset) -> None:
    write_sealed(file(dataset, OTHER), pa.table({"a": [1]}))
    assert [(p.kind, p.path, p.removable) for p in problems_of(dataset)] == [(Kind.FOREIGN, OTHER, False)]


def test_a_space_that_the_manifest_does_not_tell_of(dataset: Dataset) -> None:
    rows = pq.ParquetFile(file(dataset, layout.architectures(SPACE, 0))).read()
    write_sealed(file(dataset, layout.architectures("mine", 0)), with_column(rows, "space", pa.array(["mine"] * 4)))
    (problem,) = problems_of(dataset)
    assert (problem.kind, problem.removable) == (Kind.FOREIGN, False)
    assert "dataset.json does not mention mine" in problem.reason


def test_damaged_accuracies_are_moved_and_records_are_kept(dataset: Dataset) -> None:
    (accuracies,) = file(dataset, PurePosixPath("accuracies")).rglob("*.parquet")
    (record,) = file(dataset, PurePosixPath("runs")).iterdir()
    for path in (accuracies, record):
        path.write_bytes(path.read_bytes()[:-20])
    assert [(p.kind, p.path.parts[0], p.removable) for p in problems_of(dataset)] == [
        (Kind.CORRUPT, "accuracies", True),
        (Kind.CORRUPT, "runs", False),
    ]


@pytest.mark.parametrize("name", ["-copy", " (conflict)", ".sync-conflict-20260101"])
@pytest.mark.parametrize("table", ["accuracies", "joined"])
def test_a_copy_of_accuracies_or_joined_rows_is_named(dataset: Dataset, table: str, name: str) -> None:
    join(dataset, SPACE)
    path = dataset.files(table)[0].path
    copy = path.with_name(f"{path.stem}{name}.parquet")
    shutil.copy(file(dataset, path), file(dataset, copy))
    (problem,) = problems_of(dataset)
    assert (problem.kind, problem.path, problem.removable) == (Kind.DUPLICATE, copy, True)
    assert str(path) in problem.reason
    check.set_aside(dataset, [problem], check.list_files(dataset))
    assert problems_of(dataset) == []


def test_leftovers_of_writing_are_no_problem(dataset: Dataset) -> None:
    file(dataset, layout.temporary(PART, "abc")).write_bytes(b"half")
    assert problems_of(dataset) == []


def test_repair_moves_what_is_broken_or_contained_and_nothing_else(dataset: Dataset) -> None:
    file(dataset, PART).write_bytes(file(dataset, PART).read_bytes()[:-1])
    copy = layout.scores(SPACE, "noise", 4, 0, 9)
    shutil.copy(file(dataset, OTHER), file(dataset, copy))
    file(dataset, PurePosixPath("notes.txt")).write_text("hello")
    before = snapshot(dataset.storage.root)
    moved = check.set_aside(dataset, problems_of(dataset), check.list_files(dataset))
    assert sorted(moved) == [PART, copy]
    (folder,) = set(moved.values())
    after = snapshot(dataset.storage.root)
    assert before.keys() - after.keys() == {str(PART), str(copy)}
    for path in moved:
        assert after[str(folder / path)] == before[str(path)]
    record = json.loads(file(dataset, folder / "record.json").read_text())
    assert [entry["path"] for entry in record["files"]] == [str(PART), str(copy)]
    assert [p.kind for p in problems_of(dataset)] == [Kind.FOREIGN]
    assert [file.path.name for file in removed_files.list_removed(dataset.storage)] == [PART.name, copy.name]
    removed_files.purge(dataset.storage)
    assert removed_files.list_removed(dataset.storage) == []
    assert not file(dataset, layout.REMOVED).exists()


def test_repair_leaves_a_file_that_a_run_has_written_again_meanwhile(dataset: Dataset) -> None:
    whole = file(dataset, PART).read_bytes()
    file(dataset, PART).write_bytes(whole[:-1])
    files = check.list_files(dataset)
    problems = problems_of(dataset)
    assert [problem.path for problem in problems] == [PART]
    file(dataset, PART).write_bytes(whole)
    assert check.set_aside(dataset, problems, files) == {}
    assert problems_of(dataset) == []
