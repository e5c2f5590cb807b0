"""A command that succeeds prints only its progress on standard error: no library adds a warning or a report of leaks."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from naswot_ray.cli import _COMMANDS
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from tests.cli.conftest import write_images
from tests.cli.running import in_turn
from tests.dataset.making import SPACE, add, mean_accuracy
from tests.datasets import score_here

ARGUMENTS: dict[str, list[str]] = {
    "score": ["-o", "OUT", "--in-process", "--limit", "2", "--batch-size", "4"],
    "join": ["DATASET"],
    "accuracies": [SPACE, "TABLE", "--dataset", "DATASET", "--map", "arch_id=arch", "--map", "cifar100/test/200=acc"],
    "query": ["DATASET", "SELECT count(*) FROM joined"],
    "info": ["DATASET"],
    "check": ["DATASET"],
    "plan": ["DATASET"],
    "audit": ["DATASET", "--sample", "2"],
    "analyse": ["DATASET", "-o", "OUT"],
    "search": ["DATASET", "--samples", "4", "--runs", "2"],
    "ablate": ["--num", "2", "--repeats", "2", "--batch-size", "4", "--images", "cifar10", "--data", "IMAGES", "-o", "OUT"],
    "figures": ["DATASET", "-o", "OUT"],
    "report": ["DATASET", "-o", "OUT.html"],
    "publish": ["DATASET", "-o", "OUT"],
    "fetch": [],
    "spaces": [],
    "measures": [],
    "score-module": ["MODULE", "--batch-size", "4", "--image-size", "16"],
}
"""Command -> the arguments of a small call that succeeds."""

PROGRESS = {"score": r"\d+/\d+ rows(, .+)?"}
"""Command -> the lines that it prints on standard error by design if that is not a terminal. All other commands print none."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The values for the words of `ARGUMENTS`: a joined dataset that was really scored, a table, and 16 images.

    With more images, `ablate` would score larger batches, of up to 256.
    """
    folder = tmp_path_factory.mktemp("stderr")
    root, table = folder / "d", folder / "table.csv"
    score_here(root, limit=8, batch_size=[4], seed=[0, 1])
    rows = [mean_accuracy(index) for index in range(8)]
    add(Dataset(root), rows)
    join(Dataset(root), SPACE)
    table.write_text("arch,acc\n" + "".join(f"{row['arch_id']},{row['accuracy']}\n" for row in rows))
    images = write_images(folder / "images", seed=0, num_images=16)
    module = folder / "network.py"
    module.write_text("from torch import nn\n\nnetwork = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())\n")
    return {"DATASET": str(root), "TABLE": str(table), "IMAGES": str(images), "MODULE": f"{module}:network"}


TORCH = {"score", "score-module", "audit", "ablate"}
"""The commands that import torch. They share one process, and all others share another; starting 16 took half a minute."""


@pytest.mark.parametrize(
    "commands", [[c for c in _COMMANDS if (c in TORCH) is computes] for computes in (True, False)], ids=["torch", "no torch"]
)
def test_a_success_prints_nothing_but_progress_there(commands: list[str], places: dict[str, str], tmp_path: Path) -> None:
    in_full = []
    for command in commands:
        own = tmp_path / command
        shutil.copytree(places["DATASET"], own / "d")  # an import by one command would make others' join old
        words = places | {"DATASET": str(own / "d"), "OUT": str(own / "out"), "OUT.html": str(own / "out.html")}
        in_full.append([command, *(words.get(word, word) for word in ARGUMENTS[command])])
    done = subprocess.run(in_turn(in_full), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *printed, at_the_end = done.stderr.split("\0")
    for command, text in zip(commands, printed, strict=True):
        allowed = PROGRESS.get(command, r"(?!)")
        assert [line for line in text.splitlines() if not re.fullmatch(allowed, line)] == [], command
    assert at_the_end == ""
