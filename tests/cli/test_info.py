"""`naswot-ray info` and `naswot-ray join`: what they print, and their exit status."""

from __future__ import annotations

import io
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

import naswot_ray
from naswot_ray import console
from naswot_ray.cli import EXIT_PARTIAL
from naswot_ray.dataset import layout, manifest, runs, schema
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.storage import Storage
from tests.benchmarks.official_nats import TSS
from tests.cli.conftest import MAP
from tests.cli.running import naswot, naswot_process, prints
from tests.dataset.making import (
    FAILED,
    MEASURES,
    SPACE,
    add,
    arch_id,
    make_dataset,
    mean_accuracy,
    score_row,
    settings,
    snapshot,
    write_part,
)


def cells(text: str, *first: str) -> list[str]:
    """The numbers in the line of the table that begins with these cells."""
    (line,) = [words for line in text.splitlines() if (words := line.split())[: len(first)] == list(first)]
    return line[len(first) :]


def test_a_complete_dataset(root: Path) -> None:
    before = snapshot(root)
    text = prints("info", root)
    assert cells(text, SPACE, "architectures") == ["8", "8", "0", "0"]
    for batch_size in ("4", "8"):
        for seed in ("0", "1"):
            assert cells(text, SPACE, "noise", batch_size, seed) == ["8", "8", "0", "0"]
    assert cells(text, "space") == ["images", "batch", "size", "seed", "wanted", "present", "failed", "missing"]
    assert str(root) in text
    assert f"schema {schema.SCHEMA_VERSION}" in text
    assert f"measure naswot, version {MEASURES['naswot']}: 32 rows" in text.splitlines()
    assert f"measure meco, version {MEASURES['meco']}: 0 rows, 32 without" in text.splitlines()
    assert "run 20260101T000000-00000000: finished, 32 rows, 0.53 rows/s" in text
    assert text.splitlines()[-1] == "complete"
    assert snapshot(root) == before


def test_a_long_path_stays_on_one_line(tmp_path: Path) -> None:
    root = tmp_path / ("a-directory-with-a-long-name-" * 4)
    make_dataset(root)
    assert f"{root}: schema {schema.SCHEMA_VERSION}" in prints("info", root)


def test_a_dataset_with_a_part_missing(root: Path) -> None:
    (root / layout.scores(SPACE, "noise", 8, 1, 1)).unlink()
    result = naswot("info", root)
    assert result.exit_code == 1
    assert cells(result.stdout, SPACE, "noise", "8", "1") == ["8", "4", "0", "4"]
    assert cells(result.stdout, SPACE, "noise", "8", "0") == ["8", "8", "0", "0"]
    assert "4 rows missing: run the same `naswot-ray score` command again" in result.stdout
    assert "complete" not in result.stdout


def test_a_dataset_without_its_architectures(root: Path) -> None:
    shutil.rmtree(root / "architectures")
    result = naswot("info", root)
    assert result.exit_code == 1
    assert cells(result.stdout, SPACE, "architectures") == ["8", "0", "0", "8"]


def test_a_run_that_was_ended_early(tmp_path: Path) -> None:
    make_dataset(tmp_path / "d", indices=range(3), limit=9)
    result = naswot("info", tmp_path / "d")
    assert result.exit_code == 1
    assert cells(result.stdout, SPACE, "noise", "4", "0") == ["9", "3", "0", "6"]
    assert "12 rows missing" in result.stdout


def test_points_beyond_a_thousand_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(tmp_path / "d", indices=range(3), limit=9)
    whole = [naswot(command, tmp_path / "d").stdout for command in ("info", "check")]
    monkeypatch.setattr(console, "MAX_LISTED_POINTS", 1)
    some = [naswot(command, tmp_path / "d").stdout for command in ("info", "check")]
    for text, full in zip(some, whole, strict=True):
        assert "and 1 more point, which the totals include" in text
        assert "more point" not in full
        assert text.splitlines()[-1] == full.splitlines()[-1]
        assert "12 rows missing" in text


@pytest.mark.parametrize("limits", [(9, 2), (2, 9)])
def test_the_largest_of_several_runs_counts(tmp_path: Path, limits: tuple[int, int]) -> None:
    dataset = make_dataset(tmp_path / "d", indices=range(3), limit=limits[0])
    (first,) = dataset.runs
    grid = first.grid.model_copy(update={"limit": limits[1]})
    later = first.started + timedelta(days=1)
    runs.write(dataset.storage, first.model_copy(update={"run_id": "later", "started": later, "grid": grid}))
    result = naswot("info", tmp_path / "d")
    assert cells(result.stdout, SPACE, "noise", "4", "0") == ["9", "3", "0", "6"]
    assert "run later: finished" in result.stdout.splitlines()[-2]


def test_failed_rows_are_counted_and_not_missing(tmp_path: Path) -> None:
    make_dataset(tmp_path / "d", change=lambda row: FAILED if row["arch_index"] in (1, 6) else {})
    result = naswot("info", tmp_path / "d")
    assert result.exit_code == EXIT_PARTIAL
    assert cells(result.stdout, SPACE, "noise", "4", "0") == ["8", "8", "2", "0"]
    told = (
        "2 rows failed, as a whole or in a measure, and the column `error` says why: run the same `naswot-ray score` command "
        "with --retry-failed"
    )
    assert result.stdout.splitlines()[-1] == told


def test_accuracies_are_listed(root: Path, accuracies: Path) -> None:
    prints("join", root, "--accuracies", accuracies, *MAP, "--map", "cifar10/valid/12=acc", "--map", "cifar10/test/108=acc")
    text = prints("info", root)
    assert "accuracies nasbench201: cifar10 test, valid after 12 and 108 and 200 epochs, 10 architectures" in text


def test_a_dataset_without_runs(tmp_path: Path) -> None:
    manifest.write(Storage(tmp_path), manifest.create(settings(), shard_size=4))
    result = naswot("info", tmp_path)
    assert result.exit_code == 0
    assert str(tmp_path) in result.stdout


def test_a_real_run(run: tuple[Path, str]) -> None:
    done = naswot_process("info", run[0])
    assert (done.returncode, done.stderr) == (0, "")
    assert cells(done.stdout, SPACE, "cifar10", "4", "5") == ["3", "3", "0", "0"]
    (record,) = naswot_ray.open(run[0]).runs
    assert f"run {record.run_id}: finished, 3 rows, " in done.stdout


def test_join_tells_what_matched_and_what_did_not(root: Path, accuracies: Path) -> None:
    text = prints("join", root, "--accuracies", accuracies, *MAP)
    assert f"{SPACE}: 32 joined rows, 8 architectures matched" in text
    assert f"2 with an accuracy, no score, such as {min(arch_id(8), arch_id(9))}" in text
    assert "with a score, no accuracy" not in text
    told = (
        "Kendall tau with cifar10 test accuracy after 200 epochs: naswot -1.000, naswot_paper -1.000; params -1.000, "
        "FLOPs -1.000, ReLU layers -1.000, layers -1.000; 8 architectures, mean over 2 seeds"
    )
    assert told in text
    assert "Continue in DuckDB:" in text


def test_accuracies_are_imported_and_joined_later(root: Path, accuracies: Path) -> None:
    text = prints("accuracies", SPACE, accuracies, "--dataset", root, *MAP)
    assert f"{SPACE}: 10 rows from {accuracies.name} (SHA-256 " in text
    assert "cifar10 test after 200" in text
    assert not (root / "joined").exists()
    assert f"{SPACE}: 32 joined rows, 8 architectures matched" in prints("join", root)


def test_accuracies_of_fewer_architectures_are_counted_apart(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    add(dataset, [mean_accuracy(i) for i in range(8)] + [mean_accuracy(i, split="valid", epochs=12) for i in range(3)])
    lines = prints("info", tmp_path / "d").splitlines()
    assert f"accuracies {SPACE}: cifar10 test after 200 epochs, 8 architectures" in lines
    assert f"accuracies {SPACE}: cifar10 valid after 12 epochs, 3 architectures" in lines


def test_the_summary_tells_what_its_numbers_are_of(tmp_path: Path) -> None:
    """Seed 1 has a failed row, and seed 2 was scored after the join."""
    dataset = make_dataset(
        tmp_path / "d", seeds=(0, 1), change=lambda row: FAILED if (row["arch_index"], row["seed"]) == (7, 1) else {}
    )
    add(dataset, [mean_accuracy(i) for i in range(8)])
    text = prints("join", tmp_path / "d")
    assert "highest naswot, mean over 2 seeds, of 7 architectures with a value for each:\n     106.000  " in text
    assert "; 7 architectures, mean over 2 seeds\n" in text
    path = layout.scores(SPACE, "noise", 4, 2, 0)
    write_part(dataset.storage, path, [score_row(1, seed=2)])
    out = io.StringIO()
    console.print_summary(Console(file=out, width=200), Dataset(tmp_path / "d"))
    assert "highest naswot, mean over 3 seeds, of 1 architecture with a value for each:\n     101.000  " in out.getvalue()
    assert "; 7 architectures, mean over 2 seeds\n" in out.getvalue()


def test_a_measure_of_fewer_rows_says_so(tmp_path: Path) -> None:
    """The second measure has no value on seed 1, and lacks two architectures on seed 0."""
    change = {"meco": 0.5}
    dataset = make_dataset(
        tmp_path / "d", seeds=(0, 1), change=lambda row: {} if row["seed"] or row["arch_index"] < 2 else change
    )
    add(dataset, [mean_accuracy(i) for i in range(8)])
    text = prints("join", tmp_path / "d")
    assert "no value of meco in 10 rows\n" in text
    assert "naswot -1.000, naswot_paper -1.000, meco nan (1 seed, 6 architectures); params" in text
    assert f"measure meco, version {MEASURES['meco']}: 6 rows, 10 without\n" in prints("info", tmp_path / "d")


def test_accuracies_of_a_space_that_is_not_scored_wait_for_it(root: Path, accuracies: Path) -> None:
    accuracies.write_text("arch,acc\n8:8:8:8:8,10\n8:8:8:8:16,20\n")
    prints("accuracies", "nats_sss", accuracies, "--dataset", root, *MAP)
    assert "nats_sss: cifar10" in prints("info", root)


def test_join_again_changes_nothing(root: Path, accuracies: Path) -> None:
    first = prints("join", root, "--accuracies", accuracies, *MAP)
    before = snapshot(root)
    assert prints("join", root, "--accuracies", accuracies, *MAP) == first
    assert prints("join", root) == first
    assert snapshot(root) == before


def test_join_takes_a_second_column_of_the_same_table(root: Path, accuracies: Path) -> None:
    prints("join", root, "--accuracies", accuracies, *MAP)
    text = prints("join", root, "--accuracies", accuracies, "--map", "arch_id=arch", "--map", "cifar100/test/200=acc")
    assert "64 joined rows" in text
    assert "Kendall tau with cifar100 test accuracy after 200 epochs: naswot" in text


def test_join_tells_of_scores_without_accuracies(tmp_path: Path, accuracies: Path) -> None:
    make_dataset(tmp_path / "d", indices=range(8, 12))
    text = prints("join", tmp_path / "d", "--accuracies", accuracies, *MAP)
    assert f"{SPACE}: 2 joined rows, 2 architectures matched" in text
    assert f"2 with a score, no accuracy, such as {arch_id(10)}" in text
    assert f"8 with an accuracy, no score, such as {min(arch_id(i) for i in range(8))}" in text
    assert f"all of these: {tmp_path / 'd' / 'unmatched' / f'{SPACE}.csv'}" in text


def test_join_takes_an_official_directory(tmp_path: Path, nats: Path) -> None:
    make_dataset(tmp_path / "d", indices=(0, 1, 11, 284))
    official = nats / TSS
    text = prints("join", tmp_path / "d", "--accuracies", official)
    assert f"{SPACE}: {3 * 18} joined rows, 3 architectures matched" in text
    assert f"1 with a score, no accuracy, such as {arch_id(1)}" in text
    for name in ("cifar10", "cifar10-valid", "cifar100", "imagenet16-120"):
        assert f"Kendall tau with {name} test accuracy after 200 epochs: " in text
    rows = naswot_ray.open(tmp_path / "d").joined.to_table().to_pylist()
    best = {row["arch_index"]: row["accuracy"] for row in rows if (row["dataset"], row["epochs"]) == ("cifar10", 200)}
    assert {index: round(accuracy, 2) for index, accuracy in best.items()} == {0: 85.86, 11: 91.58, 284: 88.79}


def test_join_of_one_architecture_warns_of_nothing(root: Path, nats: Path) -> None:
    official = nats / TSS
    done = naswot_process("join", root, "--accuracies", official)
    assert (done.returncode, done.stderr) == (0, f"{official.name}: 252.8 kB\n")
    assert "; 1 architecture, mean over 2 seeds" in done.stdout
