"""If an output lacks Unicode, disk space or file handles, commands show what they can, or end with one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from naswot_ray.cli import EXIT_ERROR
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from tests.cli.running import naswot_process
from tests.dataset.making import SPACE, add, make_dataset, mean_accuracy

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("streams") / "d"
    dataset = make_dataset(root)
    add(dataset, [mean_accuracy(index) for index in range(8)])
    join(Dataset(root), SPACE)
    return root


def test_a_terminal_without_unicode_gets_escapes(root: Path) -> None:
    args = ("search", root, "--samples", 4, "--runs", 2, "--report", "cifar10/test/200")
    done = naswot_process(*args, **ASCII)
    assert (done.returncode, done.stderr) == (0, "")
    assert " \\xb1 " in done.stdout
    assert done.stdout.replace("\\xb1", "±") == naswot_process(*args, PYTHONUTF8="1").stdout


@pytest.mark.parametrize("command", ["publish", "report"])
def test_files_are_written_in_utf_8_whatever_the_locale(root: Path, tmp_path: Path, command: str) -> None:
    done = naswot_process(command, root, "-o", tmp_path / "out", **ASCII)
    assert (done.returncode, done.stderr) == (0, "")
    for path in (tmp_path / "out").rglob("*.md") if command == "publish" else [tmp_path / "out"]:
        path.read_text("utf-8")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this platform")
@pytest.mark.parametrize("command", ["info", "spaces", "--version", "--help"])
def test_a_standard_output_that_is_full(root: Path, command: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from naswot_ray.cli import main; main()", command, *([root] if command == "info" else [])],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == EXIT_ERROR
    assert done.stderr == f"error: the output or a file: {os.strerror(28)}\n"


def test_few_file_handles_are_enough(tmp_path: Path) -> None:
    """There are more parts than file handles, and as many threads as parts."""
    make_dataset(tmp_path / "d", indices=range(40), shard_size=1)
    script = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)); from naswot_ray.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", script, "info", tmp_path / "d"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
