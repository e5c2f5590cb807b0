"""Where the files of a dataset are, and how odd names are spelt there."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from naswot_ray.dataset import layout, manifest, schema
from naswot_ray.dataset.opening import Dataset
from naswot_ray.dataset.storage import Storage
from tests.dataset.making import score_row, settings, write_part

ODD = "a/b=c d'é%2F\"?*&#"


def test_paths_are_hive_style() -> None:
    folder = layout.scores("nasbench201", "cifar10", 128, 0)
    assert str(layout.part(folder, 42)) == "scores/space=nasbench201/images=cifar10/batch_size=128/seed=0/part-000042.parquet"
    assert str(layout.part(layout.architectures("nasbench201"), 0)) == "architectures/space=nasbench201/part-000000.parquet"
    assert str(layout.accuracies("nasbench201", "table.csv")) == "accuracies/space=nasbench201/table.csv.parquet"
    assert str(layout.joined("nasbench201", "noise", 8, 1)) == "joined/space=nasbench201/noise-8-1.parquet"
    assert str(layout.run_record("id")) == "runs/id.json"


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_name_is_one_folder_and_comes_back(space: str, images: str) -> None:
    try:
        folder = layout.scores(space, images, 4, 0)
    except UnicodeEncodeError:  # a lone surrogate is no name
        return
    assert len(folder.parts) == 5
    assert [unquote(part.partition("=")[2]) for part in folder.parts[1:3]] == [space, images]
    assert all(ord(character) < 128 for character in str(folder))
    assert len(layout.accuracies(space, images).parts) == 3
    assert len(layout.joined(space, images, 4, 0).parts) == 3


def test_a_temporary_is_hidden_beside_its_file() -> None:
    path = layout.part(layout.architectures("s"), 3)
    temporary = layout.temporary(path, "token")
    assert temporary.parent == path.parent
    assert temporary.name.startswith(".")
    assert layout.is_temporary(temporary.name)
    assert not layout.is_temporary(path.name)


def test_odd_names_are_read_back_by_pyarrow_and_duckdb(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "d")
    manifest.write(storage, manifest.create(settings(), shard_size=4))
    folder = layout.scores(ODD, ODD, 4, 0)
    write_part(storage, layout.part(folder, 0), schema.SCORES, [score_row(0) | {"space": ODD, "images": ODD}])
    dataset = Dataset(tmp_path / "d")
    assert dataset.scores.to_table(columns=["space", "images"]).to_pylist() == [{"space": ODD, "images": ODD}]
    with dataset.connect() as connection:
        assert connection.sql("SELECT space, images FROM scores").fetchall() == [(ODD, ODD)]
