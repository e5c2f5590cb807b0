"""What a dataset is meant to hold can be listed and withdrawn, and nothing that cannot start is planned."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import naswot_ray
from naswot_ray.cli import EXIT_ERROR, EXIT_PARTIAL
from naswot_ray.dataset import layout, runs
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.errors import SettingsError
from naswot_ray.grid.plans import list_plans, withdraw
from tests.cli.running import naswot, prints
from tests.dataset.making import snapshot
from tests.datasets import part_files, score_here

GRID = {"limit": 4, "batch_size": [4], "shard_size": 2}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Seed 0 is complete. Seed 1 was asked for twice, and half of it is missing."""
    score_here(tmp_path / "d", seed=[0], **GRID)
    for _ in range(2):
        score_here(tmp_path / "d", seed=[1], **GRID)
    part_files(tmp_path / "d")[-1].unlink()
    return tmp_path / "d"


def test_a_plan_is_told_and_withdrawn(root: Path) -> None:
    assert naswot("info", root).exit_code == EXIT_PARTIAL
    first, second, third = (record.run_id for record in Dataset(root).runs)
    told = prints("plan", root).splitlines()
    assert told == [
        "nasbench201, noise, batch size 4, seed 0: the first 4 architectures",
        f"  asked for by run {first}",
        "  4 score rows, 0 of them missing, 0 failed",
        "nasbench201, noise, batch size 4, seed 1: the first 4 architectures",
        f"  asked for by run {second}, {third}",
        "  4 score rows, 2 of them missing, 0 failed",
    ]
    before = snapshot(root)
    told = prints("plan", root, "--withdraw", third).splitlines()
    assert told[-1].endswith("UTC; 2 of its rows are there")
    changed = {name for name, content in snapshot(root).items() if content != before.get(name)}
    assert changed == {f"runs/{run_id}.json" for run_id in (second, third)}
    printed = prints("info", root)
    assert "2 score rows present that no plan asks for any more" in printed
    assert printed.splitlines()[-1] == "complete"
    assert "nothing is missing" in prints("check", root)
    prints("publish", root, "-o", root.parent / "published")
    (point,) = [p for p in json.loads((root.parent / "published/quality.json").read_text())["points"] if p["seed"] == 1]
    assert (point["wanted"], point["present"], point["missing"], point["unplanned"]) == (0, 0, 0, 2)
    assert naswot_ray.open(root).scores.count_rows() == 6


def test_to_score_again_is_to_plan_again(root: Path) -> None:
    withdraw(Dataset(root), [Dataset(root).runs[-1].run_id])
    assert prints("info", root).splitlines()[-1] == "complete"
    assert score_here(root, seed=[1], **GRID).counts["rows"] == 2
    assert [plan.withdrawn for plan in list_plans(Dataset(root))] == [None, None]
    assert "not asked for" not in prints("info", root)


def test_rows_of_a_withdrawn_plan_that_another_one_asks_for_are_missed_still(root: Path) -> None:
    score_here(root, seed=[1], **(GRID | {"limit": 3}))
    withdraw(Dataset(root), [Dataset(root).runs[1].run_id])
    part_files(root)[-1].unlink()
    done = naswot("info", root)
    assert done.exit_code == EXIT_PARTIAL
    assert "1 rows missing" in done.stdout or "1 row missing" in done.stdout


def test_an_unknown_run(root: Path) -> None:
    before = snapshot(root)
    done = naswot("plan", root, "--withdraw", Dataset(root).runs[0].run_id, "--withdraw", "nobody")
    assert (done.exit_code, done.stdout) == (EXIT_ERROR, "")
    assert "knows no run nobody; its runs are: 20" in done.stderr
    assert snapshot(root) == before


def test_a_run_that_goes_on_keeps_its_plan(root: Path) -> None:
    storage, record = Dataset(root).storage, Dataset(root).runs[-1]
    runs.write(storage, record.model_copy(update={"status": "running", "updated": datetime.now(UTC)}))
    with pytest.raises(SettingsError, match="seems to be in progress"):
        withdraw(Dataset(root), [record.run_id])
    silent = datetime.now(UTC) - timedelta(hours=1)
    runs.write(storage, record.model_copy(update={"status": "running", "updated": silent}))
    withdraw(Dataset(root), [record.run_id])


@pytest.mark.parametrize("how", [["--in-process"], ["--address", "127.0.0.1:1"]])
def test_a_run_that_cannot_start_plans_nothing(root: Path, how: list[str]) -> None:
    before = snapshot(root)
    engine = ["--engine", "cuda"] if how == ["--in-process"] else []
    done = naswot("score", "-o", root, "--limit", 4, "--batch-size", 4, "--seed", 7, *how, *engine)
    assert done.exit_code == EXIT_ERROR, done.output
    assert snapshot(root) == before


def test_a_new_dataset_whose_run_cannot_start_is_not_there(tmp_path: Path) -> None:
    done = naswot("score", "-o", tmp_path / "d", "--limit", 4, "--in-process", "--engine", "cuda")
    assert done.exit_code == EXIT_ERROR
    assert not (tmp_path / "d" / layout.MANIFEST).exists()
    assert not (tmp_path / "d" / "runs").exists()
