"""`naswot-ray score`: what it writes, records and prints. Errors are tested in test_refusals.py."""

from __future__ import annotations

import json
import math
import platform
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest

import naswot_ray
from naswot_ray.cli import EXIT_PARTIAL
from naswot_ray.dataset.join import join
from naswot_ray.dataset.runs import GridState, RunRecord
from naswot_ray.engines.fast.engine import FastEngine
from naswot_ray.images.source import load_images
from tests.cli.conftest import MAP, SAME, write_images
from tests.cli.running import naswot, prints
from tests.dataset.making import FAILED, SPACE, add, arch_id, make_dataset, mean_accuracy, snapshot


def records(root: Path) -> list[RunRecord]:
    return naswot_ray.open(root).runs


def test_the_rows_are_those_of_the_scoring_function(run: tuple[Path, str]) -> None:
    root, _ = run
    source = load_images("cifar10", root.parent / "data")
    rows = naswot_ray.open(root).scores.to_table().sort_by("arch_index").to_pylist()
    assert [row["arch_id"] for row in rows] == [arch_id(i) for i in range(3)]
    assert {(row["space"], row["images"], row["batch_size"], row["seed"]) for row in rows} == {(SPACE, "cifar10", 4, 5)}
    expected = naswot_ray.score(arch_id(2), source.batch(4, 5), seed=5, space=SPACE)
    assert (rows[2]["naswot"], rows[2]["naswot_paper"]) == (expected["naswot"], expected["naswot_paper"])
    assert (rows[2]["num_units"], rows[2]["status"]) == (expected.num_units, expected.status)


def test_the_files_are_where_the_layout_says(run: tuple[Path, str]) -> None:
    root, _ = run
    files = {name for name, content in snapshot(root).items() if content is not None}
    assert files == {
        "dataset.json",
        *(f"scores/part-{SPACE}.cifar10.batch-4.seed-5.00000{n}.parquet" for n in (0, 1)),
        *(f"architectures/part-{SPACE}.00000{n}.parquet" for n in (0, 1)),
        f"runs/{records(root)[0].run_id}.json",
    }


def test_the_output_names_the_rows_the_dataset_and_the_best(run: tuple[Path, str]) -> None:
    root, text = run
    assert re.search(r"^3 rows scored in [\d.]+ s in this process: [\d.]+ rows/s, 0 failed, 0 singular$", text, re.MULTILINE)
    assert f"dataset: {root}" in text.splitlines()
    assert f"{SPACE}, cifar10, batch size 4: 3 rows, 1 seed, 0 failed, 0 singular" in text
    scores = {row["arch_id"]: row["naswot"] for row in naswot_ray.open(root).scores.to_table().to_pylist()}
    best = sorted(scores, key=lambda name: -scores[name])
    assert [line.split() for line in text.splitlines() if line.startswith("  ")] == [[f"{scores[n]:.3f}", n] for n in best]


def test_the_duckdb_line_runs_as_it_stands(run: tuple[Path, str]) -> None:
    root, text = run
    line = text.partition("Continue in DuckDB:\n")[2].strip()
    scores = {row["arch_id"]: row["naswot"] for row in naswot_ray.open(root).scores.to_table().to_pylist()}
    best_first = sorted(scores, key=lambda name: -scores[name])
    assert duckdb.execute(line).fetchall() == [(SPACE, "cifar10", 4, name, scores[name]) for name in best_first]


def test_the_duckdb_line_runs_where_the_path_is_odd(tmp_path: Path) -> None:
    make_dataset(tmp_path / "it's a data set", batch_sizes=(4, 8), seeds=(0, 1))
    text = prints("score", "-o", tmp_path / "it's a data set", "--in-process", *SAME)
    rows = duckdb.execute(text.partition("Continue in DuckDB:\n")[2].strip()).fetchall()
    assert len(rows) == 10
    assert rows[0] == (SPACE, "noise", 4, arch_id(7), 107.0)


def test_a_long_path_stays_on_one_line(tmp_path: Path) -> None:
    root = tmp_path / ("a-directory-with-a-long-name-" * 4)
    make_dataset(root, indices=range(2))
    text = prints("score", "-o", root, "--in-process", "--limit", 2, "--batch-size", 4)
    assert f"dataset: {root}" in text.splitlines()


def test_the_run_record(run: tuple[Path, str]) -> None:
    root, _ = run
    (file,) = (root / "runs").iterdir()
    raw = json.loads(file.read_text())
    (record,) = records(root)
    assert file.name == f"{raw['run_id']}.json"
    assert re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{8}", record.run_id)
    assert record.status == "finished"
    assert record.counts == {"rows": 3, "ok": 3}
    assert raw["grid"] == {
        "spaces": [SPACE],
        "num_architectures": [15_625],
        "images": "cifar10",
        "batch_sizes": [4],
        "seeds": [5],
        "limit": 3,
        "sample": None,
        "measures": ["naswot", "naswot_paper"],
    }
    assert record.fingerprint == naswot_ray.open(root).manifest.fingerprint
    assert record.finished is not None
    assert record.seconds is not None
    assert record.started <= record.finished <= datetime.now(UTC)
    assert 0 < record.seconds <= (record.finished - record.started).total_seconds() + 1e-3
    assert record.started > datetime.now(UTC) - timedelta(hours=1)
    assert (record.versions["naswot-ray"], record.versions["python"]) == (naswot_ray.__version__, platform.python_version())
    assert record.versions["numpy"] == np.__version__
    assert set(record.versions) == {"python", "naswot-ray", "torch", "numpy", "pyarrow", "ray"}
    assert set(record.hardware) >= {"platform", "processor", "cpus"}


def test_the_run_record_holds_every_option(run: tuple[Path, str]) -> None:
    root, _ = run
    options = dict(records(root)[0].options)
    assert options == {
        "output": str(root),
        "space": [SPACE],
        "batch_size": [4],
        "seed": [5],
        "limit": 3,
        "sample": None,
        "space_option": [],
        "measure": ["naswot", "naswot_paper"],
        "images": "cifar10",
        "data": str(root.parent / "data"),
        "image_size": None,
        "engine": None,
        "dtype": "float32",
        "retry_failed": False,
        "replace_older": False,
        "in_process": True,
        "address": None,
        "num_actors": None,
        "actors_per_gpu": None,
        "cpus_per_actor": 1,
        "shard_size": 2,
        "shard_timeout": 3600.0,
        "max_attempts": 3,
    }


def test_the_same_command_again_finds_nothing_to_do(root: Path) -> None:
    before = snapshot(root)
    text = prints("score", "-o", root, "--in-process", *SAME)
    assert text.startswith("nothing to do: every row of the grid is there\n")
    after = snapshot(root)
    assert {name: after[name] for name in before} == before
    assert {name.partition("/")[0] for name in after.keys() - before.keys()} == {"runs"}
    last = records(root)[-1]
    assert (last.status, last.counts, last.seconds) == ("finished", {"rows": 0}, 0.0)


def test_nothing_to_do_needs_no_cluster(root: Path) -> None:
    assert "nothing to do" in prints("score", "-o", root, *SAME)


def test_more_rows_extend_the_dataset(root: Path) -> None:
    before = snapshot(root)
    text = prints("score", "-o", root, "--in-process", "--limit", 9, "--batch-size", 4)
    assert text.startswith("1 rows scored in ")
    after = snapshot(root)
    assert {name: after[name] for name in before} == before
    assert sorted(name for name in after.keys() - before.keys() if not name.startswith("runs/")) == [
        f"architectures/part-{SPACE}.000002.parquet",
        f"scores/part-{SPACE}.noise.batch-4.seed-0.000002.parquet",
    ]
    assert naswot_ray.open(root).scores.count_rows() == 33


def test_failed_rows_are_kept_unless_asked_for(tmp_path: Path) -> None:
    root = tmp_path / "d"
    make_dataset(root, indices=range(2), change=lambda row: FAILED if row["arch_index"] == 1 else {})
    same = ("score", "-o", root, "--in-process", "--limit", 2, "--batch-size", 4)
    told = (
        "1 of 2 rows that were asked for has failed, as a whole or in a measure; the column `error` says why; --retry-failed "
        "scores them again"
    )
    for _ in range(2):  # a scheduler that looks at the exit status must not take the second run for a success
        again = naswot(*same)
        assert again.exit_code == EXIT_PARTIAL
        assert again.stdout.startswith(f"nothing was scored\n{told}\n")
    text = again.stdout
    assert f"{SPACE}, noise, batch size 4: 2 rows, 1 seed, 1 failed, 0 singular" in text
    text = prints(*same, "--retry-failed")
    assert text.startswith("1 rows scored in ")
    rows = naswot_ray.open(root).scores.to_table().sort_by("arch_index").to_pylist()
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert rows[0]["naswot"] == 100.0, "the good row is the one that was there"
    assert rows[1]["error"] is None


def test_failed_rows_make_the_exit_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no convergence")

    monkeypatch.setattr(FastEngine, "run_forward", fails)
    result = naswot("score", "-o", tmp_path / "d", "--in-process", "--limit", 2, "--batch-size", 4)
    assert result.exit_code == 1
    assert "2 failed, 0 singular" in result.stdout
    rows = naswot_ray.open(tmp_path / "d").scores.to_table().to_pylist()
    assert [(row["naswot"], row["status"], row["error"]) for row in rows] == [
        (None, "failed", "RuntimeError: no convergence")
    ] * 2
    assert records(tmp_path / "d")[0].counts == {"rows": 2, "failed": 2}
    assert "2 of 2 rows that were asked for have failed" in result.stdout


def test_the_exit_status_is_that_of_the_rows_asked_for(tmp_path: Path) -> None:
    """A failed row outside the requested ones does not concern this invocation."""
    root = tmp_path / "d"
    make_dataset(root, indices=range(4), seeds=(0, 1), change=lambda row: FAILED if row["arch_index"] == 3 else {})
    arguments = ("score", "-o", root, "--in-process", "--batch-size", 4)
    assert prints(*arguments, "--limit", 3).startswith("nothing to do: every row of the grid is there")
    more = naswot(*arguments, "--limit", 4, "--seed", 0, "--seed", 2)
    assert more.exit_code == EXIT_PARTIAL
    assert "1 of 8 rows that were asked for has failed" in more.stdout
    (_, _, last) = records(root)
    assert last.counts == {"rows": 4, "ok": 4}
    assert last.state == GridState(wanted=8, present=8, failed=1)


def test_failed_rows_of_the_architectures_table_make_the_exit_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr(type(naswot_ray.get_space(SPACE)), "trained_network", fails)
    arguments = ("score", "-o", tmp_path / "d", "--in-process", "--limit", 2, "--batch-size", 4)
    for _ in range(2):
        result = naswot(*arguments)
        assert result.exit_code == EXIT_PARTIAL
        assert "2 rows of the architectures table failed; the column `error` says why" in result.stdout
    assert naswot("info", tmp_path / "d").exit_code == EXIT_PARTIAL


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_accuracies_are_joined_at_the_end(root: Path, accuracies: Path, suffix: str) -> None:
    text = prints("score", "-o", root, "--in-process", *SAME, "--accuracies", accuracies.with_suffix(suffix), *MAP)
    assert f"{SPACE}: 32 joined rows, 8 architectures matched" in text
    assert f"2 with an accuracy, no score, such as {min(arch_id(8), arch_id(9))}" in text
    assert str(root / "unmatched" / f"{SPACE}.csv") in text
    tau = "Kendall tau with cifar10 test accuracy after 200 epochs: naswot -1.000, naswot_paper -1.000; params -1.000, "
    assert text.count(tau) == 2, "one a batch size"
    assert naswot_ray.open(root).joined.count_rows() == 32


def test_two_image_sources_lie_in_one_dataset(root: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", seed=1)
    text = prints("score", "-o", root, "--in-process", "--limit", 1, "--batch-size", 4, "--images", "cifar10", "--data", data)
    assert f"{SPACE}, cifar10, batch size 4: 1 rows" in text
    assert f"{SPACE}, noise, batch size 8: 16 rows, 2 seeds" in text
    assert set(naswot_ray.open(root).manifest.settings.images) == {"noise", "cifar10"}


def test_scores_are_finite(run: tuple[Path, str]) -> None:
    assert all(math.isfinite(value) for value in naswot_ray.open(run[0]).scores.to_table()["naswot"].to_pylist())


def test_a_damaged_joined_file_is_told_and_does_not_make_a_run_fail(root: Path) -> None:
    dataset = naswot_ray.open(root)
    add(dataset, [mean_accuracy(i) for i in range(8)])
    join(dataset, SPACE)
    path = sorted((root / "joined").iterdir())[0]
    path.write_bytes(path.read_bytes()[:-1])
    done = naswot("score", "-o", root, "--in-process", *SAME)
    assert done.exit_code == 0, done.output
    assert f"no summary: {path} is not a whole Parquet file; `naswot-ray check {root}` reports" in done.stdout
