"""The memory left is the least of what the machine and the control groups report."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from naswot_ray.engines.fast import memory


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up /proc and /sys/fs/cgroup."""
    monkeypatch.setattr(memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "cgroup/job/step").mkdir(parents=True)
    return tmp_path


def group(system: Path, name: str, limit: str, used: int) -> None:
    (system / "cgroup" / name / "memory.max").write_text(f"{limit}\n")
    (system / "cgroup" / name / "memory.current").write_text(f"{used}\n")


def test_the_machine(system: Path) -> None:
    (system / "proc/meminfo").write_text("MemTotal:  100 kB\nMemAvailable:    64 kB\nSwapFree: 7 kB\n")
    assert memory.available_bytes() == 64 * 1024


def test_the_tightest_control_group(system: Path) -> None:
    (system / "proc/meminfo").write_text("MemAvailable:    64 kB\n")
    (system / "proc/self/cgroup").write_text("0::/job/step\n")
    group(system, "job/step", "max", 500)
    assert memory.available_bytes() == 64 * 1024
    group(system, "job", "3000", 1000)
    assert memory.available_bytes() == 2000
    group(system, "job/step", "1500", 500)
    assert memory.available_bytes() == 1000
    group(system, "job/step", "100", 500)
    assert memory.available_bytes() == 0


def test_a_system_that_does_not_tell(system: Path) -> None:
    assert memory.available_bytes() == sys.maxsize


def test_this_machine() -> None:
    assert 2**20 < memory.available_bytes() < 2**60
