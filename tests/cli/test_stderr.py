"""A command that succeeds leaves the standard error to its progress: no library adds a warning or a leak report to it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from naswot_ray.cli import _COMMANDS
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from tests.cli.running import naswot_process
from tests.dataset.making import SPACE, add, mean_accuracy
from tests.datasets import score_here

ARGUMENTS: dict[str, list[str]] = {
    "naswot": ["-o", "OUT", "--in-process", "--limit", "2", "--batch-size", "4"],
    "join": ["DATASET"],
    "accuracies": [SPACE, "TABLE", "--dataset", "DATASET", "--map", "arch_id=arch", "--map", "cifar100/test/200=acc"],
    "query": ["DATASET", "SELECT count(*) FROM joined"],
    "info": ["DATASET"],
    "check": ["DATASET"],
    "plan": ["DATASET"],
    "audit": ["DATASET", "--sample", "2"],
    "analyse": ["DATASET", "-o", "OUT"],
    "search": ["DATASET", "--samples", "4", "--runs", "2"],
    "ablate": ["--num", "3", "--repeats", "2", "--batch-size", "4", "-o", "OUT"],
    "figures": ["DATASET", "-o", "OUT"],
    "report": ["DATASET", "-o", "OUT.html"],
    "publish": ["DATASET", "-o", "OUT"],
    "fetch": [],
    "spaces": [],
}
"""Command -> the arguments of a small call that succeeds."""

PROGRESS = {"naswot": r"\d+/\d+ rows(, .+)?"}
"""Command -> the lines that it prints on the standard error by design, where that is no terminal. All others print none."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What stands for a word of `ARGUMENTS`: a joined dataset that was really scored, a table, and where output goes."""
    folder = tmp_path_factory.mktemp("stderr")
    root, table = folder / "d", folder / "table.csv"
    score_here(root, limit=8, batch_size=[4], seed=[0, 1])
    rows = [mean_accuracy(index) for index in range(8)]
    add(Dataset(root), rows)
    join(Dataset(root), SPACE)
    table.write_text("arch,acc\n" + "".join(f"{row['arch_id']},{row['accuracy']}\n" for row in rows))
    return {"DATASET": str(root), "TABLE": str(table)}


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_success_prints_nothing_but_progress_there(command: str, places: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(places["DATASET"], tmp_path / "d")  # or what one command imports would make the join old for others
    own = {"DATASET": str(tmp_path / "d"), "OUT": str(tmp_path / "out"), "OUT.html": str(tmp_path / "out.html")}
    done = naswot_process(command, *((places | own).get(word, word) for word in ARGUMENTS[command]))
    assert done.returncode == 0, done.stderr
    allowed = PROGRESS.get(command, r"(?!)")
    assert [line for line in done.stderr.splitlines() if not re.fullmatch(allowed, line)] == []
