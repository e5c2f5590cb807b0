"""Files that are sound one by one may contradict each other, or may not be what they say they were made from."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from naswot_ray.dataset import check, layout
from naswot_ray.dataset.agreement import check_agreement
from naswot_ray.dataset.check import Kind, Problem
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from tests.dataset.making import SPACE, add, make_dataset, mean_accuracy, rewrite, write_sealed


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    dataset = make_dataset(tmp_path / "d", seeds=(0, 1))
    add(dataset, [mean_accuracy(i) for i in range(8)])
    return dataset


def problems_of(dataset: Dataset) -> list[Problem]:
    """Check the dataset as a whole. Each of its files has to be sound by itself."""
    files = check.list_files(dataset)
    assert not any(check.check_files(dataset, files))
    return check_agreement(dataset, [])


def file(dataset: Dataset, path: PurePosixPath) -> Path:
    return Path(dataset.storage.path(path))


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)


def test_accuracies_of_two_files_that_contradict_each_other(dataset: Dataset) -> None:
    (path,) = file(dataset, PurePosixPath("accuracies")).iterdir()
    other = path.with_name(path.name.replace("table", "another"))
    write_sealed(other, pq.read_table(path).slice(3))
    (problem,) = problems_of(dataset)
    assert (problem.kind, problem.removable) == (Kind.DUPLICATE, False)
    assert "holds cifar10/test/200 accuracies, and so does accuracies/" in problem.reason


def test_a_wrong_joined_row_is_corrupt(dataset: Dataset) -> None:
    join(dataset, SPACE)
    path = layout.joined(SPACE, "noise", 4, 1)
    assert problems_of(dataset) == []
    rewrite(file(dataset, path), lambda t: with_column(t, "accuracy", pc.add(t["accuracy"], 0.5)))
    (problem,) = problems_of(dataset)
    assert (problem.kind, problem.path, problem.removable) == (Kind.CORRUPT, path, True)
    assert "holds other rows than" in problem.reason
    join(dataset, SPACE)
    assert problems_of(dataset) == []


def test_a_joined_file_that_is_gone(dataset: Dataset) -> None:
    join(dataset, SPACE)
    file(dataset, layout.joined(SPACE, "noise", 4, 1)).unlink()
    problems = problems_of(dataset)
    assert Kind.INCOMPLETE in [problem.kind for problem in problems]
    assert any(f"1 of the 2 files of the join of {SPACE}: run `naswot-ray join" in problem.reason for problem in problems)


def test_what_depends_on_a_faulty_file_is_left_out(dataset: Dataset) -> None:
    join(dataset, SPACE)
    part = dataset.files("scores")[0].path
    file(dataset, part).write_bytes(b"")
    assert check_agreement(dataset, [part]) == []


@pytest.mark.parametrize("table", ["scores", "architectures", "accuracies"])
def test_a_join_that_is_older_is_outdated(dataset: Dataset, table: str) -> None:
    """The names and sizes of the files from which it was made are the same."""
    join(dataset, SPACE)
    path = file(dataset, dataset.files(table)[0].path)
    size = path.stat().st_size
    name, other = {"scores": ("naswot", 1.5), "architectures": ("params", 5), "accuracies": ("accuracy", 1.5)}[table]
    rewrite(path, lambda t: with_column(t, name, pa.array([other] * t.num_rows, t.schema.field(name).type)))
    assert {problem.kind for problem in problems_of(dataset)} == {Kind.OUTDATED}, (size, path.stat().st_size)
    join(dataset, SPACE)
    assert problems_of(dataset) == []
