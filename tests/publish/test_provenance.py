"""The commands that rebuild a dataset are those of its runs, and only commands of this package."""

from __future__ import annotations

import json
import re
from pathlib import Path

import naswot_ray
from naswot_ray.dataset.accuracies import AccuracyTable, add_accuracies, batches_of, stage
from naswot_ray.measures import own_measures
from naswot_ray.publish import provenance
from naswot_ray.publish.publish import publish
from tests.cli.running import naswot
from tests.dataset.making import MEASURES, SPACE, add, make_dataset, mean_accuracy
from tests.datasets import logical_rows, score_here


def test_the_commands_make_the_same_rows_again(tmp_path: Path) -> None:
    score_here(tmp_path / "d", limit=2, batch_size=[2], seed=[7, 8], shard_size=2)
    score_here(tmp_path / "d", sample=1, batch_size=[4], seed=[7])
    score_here(tmp_path / "d", sample=1, batch_size=[4], seed=[7])
    score_here(tmp_path / "d", limit=1, batch_size=[2], seed=[7], measure=["meco"], engine="exact")
    commands = provenance.score_commands(naswot_ray.open(tmp_path / "d"))
    assert len(commands) == 3, "a run that found nothing to do is none"
    assert [re.findall("--measure ([a-z_]+)", command) for command in commands] == [["naswot", "naswot_paper"]] * 2 + [["meco"]]
    for command in commands:
        words = command.replace(f"--output {provenance.DATASET}", f"--output {tmp_path / 'again'}").split()
        assert naswot(*words[1:], "--in-process").exit_code == 0
    assert logical_rows(tmp_path / "again") == logical_rows(tmp_path / "d")


def test_a_publication_tells_how_it_was_made(published: dict[str, Path]) -> None:
    found = json.loads((published["all"] / "provenance.json").read_text())
    assert found["dataset"] == json.loads((published["d"] / "dataset.json").read_text())
    assert {name: (one["version"], one["num_values"]) for name, one in found["measures"].items()} == {
        "naswot": (MEASURES["naswot"], 28),
        "naswot_paper": (MEASURES["naswot_paper"], 28),
        "meco": (MEASURES["meco"], 13),
    }
    assert found["measures"]["meco"]["formula"] == own_measures()["meco"].formula
    assert [run["run_id"] for run in found["runs"]] == ["20260101T000000-00000000"]
    assert found["published_with"].keys() == {"naswot-ray", "pyarrow", "duckdb"}
    text = (published["all"] / "README.md").read_text()
    (block,) = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block.splitlines() == found["commands"]
    assert found["commands"][1:] == [
        "naswot-ray accuracies nasbench201 table.csv --dataset scores  # a table: say with --map which column is what",
        "naswot-ray join scores --space nasbench201",
        "naswot-ray publish scores -o DIR --include-accuracies",
    ]


def test_accuracies_that_took_the_place_of_others_are_published(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    add(dataset, [mean_accuracy(i, epochs=epochs) for i in range(8) for epochs in (12, 200)])
    rows = [mean_accuracy(i, accuracy=50.0 + i) for i in range(8)]
    add_accuracies(dataset, stage(AccuracyTable(SPACE, "b.csv", "e" * 64, batches_of(SPACE, "e" * 64, rows))), replace=True)
    found = [(source.sha256, source.num_rows) for source in provenance.accuracy_sources(dataset)]
    assert found == [("d" * 64, 8), ("e" * 64, 8)]
    publish(dataset, tmp_path / "out", include_accuracies=True)


def test_paths_of_options_stay_at_home(tmp_path: Path) -> None:
    record = score_here(tmp_path / "d", limit=2, batch_size=[4], seed=[0])
    found = json.dumps(provenance.runs(naswot_ray.open(tmp_path / "d")))
    assert record.run_id in found
    assert str(tmp_path) not in found
    publish(naswot_ray.open(tmp_path / "d"), tmp_path / "out")
    assert (
        "--batch-size 4 --seed 0 --limit 2 --measure naswot --measure naswot_paper --images noise"
        in (tmp_path / "out" / "README.md").read_text()
    )
