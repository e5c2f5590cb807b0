"""Where the files of a dataset are, and how unusual names are encoded there."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naswot_ray.dataset import layout
from naswot_ray.dataset.layout import TableFile
from naswot_ray.dataset.names import is_name
from tests.dataset.making import add, arch_id, make_dataset, mean_accuracy

ODD = "a/b=c d'é%2F\"?*&#"


def test_names_tell_what_is_in_a_file() -> None:
    part = layout.scores("nasbench201", "imagenet16-120", 128, 0, 42)
    assert str(part) == "scores/part-nasbench201.imagenet16-120.batch-128.seed-0.000042.parquet"
    assert layout.table_file(part) == TableFile("scores", "nasbench201", "imagenet16-120", 128, 0, 42)
    part = layout.architectures("nds_resnext-a_in", 1_234_567)
    assert str(part) == "architectures/part-nds_resnext-a_in.1234567.parquet"
    assert layout.table_file(part) == TableFile("architectures", "nds_resnext-a_in", number=1_234_567)
    table = layout.accuracies("nasbench201", "table.v1.csv")
    assert str(table) == "accuracies/nasbench201.table.v1.csv.parquet"
    assert layout.table_file(table) == TableFile("accuracies", "nasbench201", source="table.v1.csv")
    joined = layout.joined("nasbench201", "noise", 8, 1)
    assert str(joined) == "joined/nasbench201.noise.batch-8.seed-1.parquet"
    assert layout.table_file(joined) == TableFile("joined", "nasbench201", "noise", 8, 1)
    assert str(layout.unmatched("nasbench201")) == "unmatched/nasbench201.csv"
    assert str(layout.run_record("id")) == "runs/id.json"


NAMES = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,79}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(NAMES, NAMES, TEXTS)
def test_any_name_comes_back_from_the_name_of_a_file(space: str, images: str, source: str) -> None:
    for path in (
        layout.scores(space, images, 4, 0, 9),
        layout.architectures(space, 9),
        layout.accuracies(space, source),
        layout.joined(space, images, 4, 0),
    ):
        found = layout.table_file(path)
        assert found is not None
        assert (found.table, found.space) == (path.parts[0], space)
        assert found.images in (images, None)
        assert found.source in (source, None)
        assert len(path.parts) == 2
        assert all(32 < ord(character) < 127 for character in str(path))


@given(TEXTS.filter(lambda text: not is_name(text)))
def test_what_is_no_name_makes_no_file_of_a_table(text: str) -> None:
    assert layout.table_file(layout.scores(text, "noise", 4, 0, 9)) is None
    assert layout.table_file(layout.scores("nasbench201", text, 4, 0, 9)) is None
    assert layout.table_file(layout.architectures(text, 9)) is None
    assert layout.table_file(layout.accuracies(text, "table.csv")) is None
    assert layout.table_file(layout.joined(text, "noise", 4, 0)) is None


@pytest.mark.parametrize(
    "path",
    [
        "part-s.i.batch-4.seed-0.000000.parquet",
        "joined/part-s.i.batch-4.seed-0.000000.parquet",
        "scores/s.i.batch-4.seed-0.000000.parquet",
        "scores/part-s.i.batch-4.seed-0.00000.parquet",
        "scores/part-s.i.batch-4.seed-0.0000000.parquet",
        "scores/part-s.i.batch-04.seed-0.000000.parquet",
        "scores/part-s.i.batch-4.seed--1.000000.parquet",
        "scores/part-s.i.batch-4.000000.parquet",
        "scores/part-s..batch-4.seed-0.000000.parquet",
        "scores/part-s%20.i%2E.batch-4.seed-0.000000.parquet.tmp",
        "scores/part-%73.i.batch-4.seed-0.000000.parquet",
        "scores/part-s.i.batch-4.seed-0.000000 (conflicted copy).parquet",
        "scores/part-s.i.batch-4.seed-0.000000.parquet.crdownload",
        "scores/._part-s.i.batch-4.seed-0.000000.parquet",
        "scores/Copy of part-s.i.batch-4.seed-0.000000.parquet",
        "scores/deeper/part-s.i.batch-4.seed-0.000000.parquet",
        "scores/space=s/part-000000.parquet",
        "accuracies/.parquet",
        "accuracies/._s.table.parquet",
        "accuracies/s.table (1).parquet",
        "joined/s.i.batch-4.seed-0 2.parquet",
    ],
)
def test_other_names_are_no_files_of_a_table(path: str) -> None:
    assert layout.table_file(PurePosixPath(path)) is None


def test_a_temporary_is_hidden_beside_its_file() -> None:
    path = layout.architectures("s", 3)
    temporary = layout.temporary(path, "token")
    assert temporary.parent == path.parent
    assert temporary.name.startswith(".")
    assert layout.is_temporary(temporary.name)
    assert not layout.is_temporary(path.name)


def test_odd_file_names_are_read_back_by_pyarrow_and_duckdb(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    add(dataset, [mean_accuracy(0)], source=ODD)
    assert dataset.accuracies.to_table(columns=["arch_id"]).to_pylist() == [{"arch_id": arch_id(0)}]
    with dataset.connect() as connection:
        assert connection.sql("SELECT arch_id FROM accuracies").fetchall() == [(arch_id(0),)]
