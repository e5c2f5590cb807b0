"""Usual names are accepted in a dataset; a name that could lead somewhere else is refused wherever it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from naswot_ray.dataset import layout, manifest, runs, schema
from naswot_ray.dataset.accuracies import AccuracyTable, batches_of, stage
from naswot_ray.dataset.check import Kind, check_files, list_files
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.names import is_name
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import BenchmarkError, DatasetError
from naswot_ray.images.source import SOURCES
from naswot_ray.spaces import all_spaces
from tests.dataset.making import SPACE, TABLES, add, make_dataset, mean_accuracy, score_row

BAD = [
    "",
    ".",
    "..",
    "../x",
    "/etc/x",
    "a/b",
    "a\\b",
    "~x",
    "-x",
    ".x",
    "a b",
    "a\n",
    "a\x1b[31m",
    "a\u202eb",
    "ä",
    "a" * 81,
    "$x",
]


@pytest.mark.parametrize("name", [*all_spaces(), *SOURCES, "noise-224", "toy_space.v2", "cifar10-valid", "x-valid", "3D+t"])
def test_the_usual_names_are_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_name(name: str) -> None:
    assert not is_name(name)


def rewrite_manifest(root: Path, kind: str, name: str) -> None:
    """Add a space or an image source to a dataset, and the fingerprint that its settings then have."""
    content = json.loads((root / "dataset.json").read_text())
    content["settings"][kind][name] = {}
    content["fingerprint"] = Settings.model_construct(**content["settings"]).fingerprint
    (root / "dataset.json").write_text(json.dumps(content))


@pytest.mark.parametrize("kind", ["spaces", "images"])
@pytest.mark.parametrize("name", BAD)
def test_a_manifest_with_another_name_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    make_dataset(tmp_path)
    rewrite_manifest(tmp_path, kind, name)
    with pytest.raises(DatasetError) as caught:
        manifest.read(Storage(tmp_path))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'dataset.json'} is damaged (settings.{kind}.")
    assert f"{name!r} is not a valid name: expected at most 80 letters, digits" in message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"run_id": "../../x"}, "run_id: '../../x' is not a valid run id"),
        ({"run_id": "a.b"}, "run_id: 'a.b' is not a valid run id"),
        ({"grid": {"spaces": ["../x"]}}, "grid.spaces.0: '../x' is not a valid name"),
        ({"grid": {"images": "/x"}}, "grid.images: '/x' is not a valid name"),
    ],
)
def test_a_record_with_another_name_is_refused(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    make_dataset(tmp_path)
    (path,) = (tmp_path / "runs").iterdir()
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | change | {"grid": content["grid"] | change.get("grid", {})}))
    with pytest.raises(DatasetError) as caught:
        runs.read_all(Storage(tmp_path))
    assert str(caught.value).startswith(f"{path} is damaged ({told}")


def test_a_record_under_the_name_of_another_run_is_refused(tmp_path: Path) -> None:
    make_dataset(tmp_path)
    (path,) = (tmp_path / "runs").iterdir()
    path.rename(path.with_name("other.json"))
    with pytest.raises(DatasetError, match=r"runs/other\.json is the record of run 20260101T000000-00000000, not of the one"):
        runs.read_all(Storage(tmp_path))


def test_a_part_whose_space_is_no_name_is_no_part_and_check_says_why(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    path = layout.scores("../x", "noise", 4, 0, 0)
    rows = [score_row(index) | {"space": "../x"} for index in range(4)]
    dataset.storage.write_table(path, pa.Table.from_pylist(rows, TABLES["scores"]))
    assert dataset.scores.count_rows() == 8
    problems = [problem for of_file in check_files(dataset, list_files(dataset)) for problem in of_file]
    (problem,) = problems
    assert (problem.kind, problem.path, problem.removable) == (Kind.FOREIGN, path, False)
    assert "'../x' is not a valid name" in problem.reason


def test_accuracies_of_another_name_are_refused_and_found(tmp_path: Path) -> None:
    rows = [mean_accuracy(0, dataset="../x")]
    with pytest.raises(BenchmarkError, match=r"^table\.csv: '\.\./x' is not a valid name"):
        stage(AccuracyTable(SPACE, "table.csv", "d" * 64, batches_of(SPACE, "d" * 64, rows)))
    dataset = make_dataset(tmp_path)
    add(dataset, [mean_accuracy(0)])
    (file,) = dataset.files("accuracies")
    held = dataset.accuracies.to_table().to_pylist()
    dataset.storage.write_table(file.path, pa.Table.from_pylist([row | {"split": "a b"} for row in held], schema.ACCURACIES))
    problems = [problem for of_file in check_files(Dataset(tmp_path), list_files(dataset)) for problem in of_file]
    assert [(p.kind, p.path) for p in problems] == [(Kind.FOREIGN, file.path)]
    assert "holds rows whose split 'a b' is not a valid name" in problems[0].reason
