"""cluster/setup.sh, run with a Python that records what pip is asked for instead of downloading it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.configs import ROOT

STAND_IN = f"""#!/bin/bash
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip") echo "$*" >>~/pip.log && [[ ! -e ~/offline ]] ;;
  "- "*) exec {sys.executable} "$@" ;;
  "--version ") echo "Python 3.12.3" ;;
  "-c import sys, torch"*) [[ -e ~/usable_gpu ]] ;;
  "-c "*) [[ ! -e ~/too_old ]] ;;
esac
"""


@dataclass(frozen=True)
class Node:
    """A machine that has only the files that `ray up` copies."""

    home: Path

    @property
    def folder(self) -> Path:
        return self.home / "naswot-ray"

    def shell(self, *command: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.home / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(command, env={"HOME": str(self.home), "PATH": path}, capture_output=True, text=True)

    def set_up(self, *packages: str) -> subprocess.CompletedProcess[str]:
        return self.shell("bash", str(self.folder / "setup.sh"), *packages)

    def installs(self) -> list[str]:
        """The calls of pip, without those that upgrade pip itself."""
        log = self.home / "pip.log"
        return [line for line in log.read_text().splitlines() if "--requirement" in line] if log.exists() else []


@pytest.fixture
def node(tmp_path: Path) -> Node:
    node = Node(tmp_path)
    node.folder.mkdir()
    for source in ("constraints.txt", "pyproject.toml", "cluster/setup.sh"):
        shutil.copy(ROOT / source, node.folder)
    (tmp_path / "bin").mkdir()
    for name in ("python3.12", "python3.11", "python3"):
        (tmp_path / "bin" / name).write_text(STAND_IN)
        (tmp_path / "bin" / name).chmod(0o755)
    return node


def test_it_installs_the_projects_dependencies_at_its_versions(node: Node) -> None:
    done = node.set_up()
    assert done.returncode == 0, done.stderr
    (install,) = node.installs()
    assert f"--constraint {node.folder}/constraints.txt --build-constraint {node.folder}/constraints.txt" in install
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (node.folder / "venv" / "requirements.txt").read_text().splitlines() == project["dependencies"]


def test_it_does_only_what_has_changed(node: Node) -> None:
    for _ in range(2):
        assert node.set_up().returncode == 0
        assert node.set_up("boto3").returncode == 0
    plain, head = node.installs()
    assert " boto3 " not in plain
    assert " boto3 " in head
    with (node.folder / "constraints.txt").open("a") as file:
        file.write("another==1\n")
    assert node.set_up().returncode == 0
    assert len(node.installs()) == 3


def test_an_installation_that_broke_off_is_done_again(node: Node) -> None:
    (node.home / "offline").touch()
    assert node.set_up().returncode != 0
    (node.home / "offline").unlink()
    assert not node.installs()
    assert node.set_up().returncode == 0
    assert len(node.installs()) == 1


def test_every_shell_has_the_environment_and_token_authentication(node: Node) -> None:
    (node.home / ".bashrc").write_text("return\n")  # Ubuntu's also returns early if the shell is not interactive
    for _ in range(2):
        assert node.set_up().returncode == 0
    show = node.shell("bash", "-c", ". ~/.bashrc; command -v python; echo $RAY_AUTH_MODE $RAY_USAGE_STATS_ENABLED")
    assert show.stdout.splitlines() == [f"{node.folder}/venv/bin/python", "token 0"]
    assert (node.home / ".bashrc").read_text() == f". '{node.folder}/environment'\nreturn\n"


def test_the_token_is_the_users_alone(node: Node) -> None:
    token = node.home / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("t" * 64)
    token.chmod(0o644)
    assert node.set_up().returncode == 0
    assert token.stat().st_mode & 0o777 == 0o600


def test_without_a_fitting_python_it_says_so_in_one_line(node: Node) -> None:
    (node.home / "too_old").touch()
    done = node.set_up()
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "neither Python 3.12 nor 3.11" in line


def test_a_gpu_that_torch_cannot_use_is_refused(node: Node) -> None:
    smi = node.home / "bin" / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA A10G (UUID: GPU-1)'\n")
    smi.chmod(0o755)
    for _ in range(2):
        done = node.set_up()
        assert done.returncode == 1
        assert done.stderr.startswith("error: torch cannot use the GPU of ")
    (node.home / "usable_gpu").touch()
    assert node.set_up().returncode == 0
