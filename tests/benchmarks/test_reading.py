"""Files that have the name of an official one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from naswot_ray.benchmarks import reading
from naswot_ray.benchmarks.reading import read_accuracies
from naswot_ray.errors import BenchmarkError
from naswot_ray.fetch.digests import Digest
from tests.benchmarks.nasbench101_files import Training, write_tfrecord

TRAININGS = [Training(f"{i:032x}", 108, 0.9, 0.9) for i in range(3)]


@pytest.mark.parametrize("name", ["nasbench_only108.tfrecord", "nasbench_full.tfrecord"])
def test_an_official_name_with_another_content(tmp_path: Path, name: str) -> None:
    """Cut between two records, a file is whole by its own checksums."""
    path = write_tfrecord(tmp_path / name, TRAININGS)
    with pytest.raises(BenchmarkError, match=rf"{name} is not the official file of that name: its \w+ is \w+, expected "):
        read_accuracies("nasbench101", path)


def test_the_official_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tfrecord(tmp_path / "nasbench_only108.tfrecord", TRAININGS)
    digest = Digest("sha256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(reading, "known_digest", {path.name: digest}.get)
    assert read_accuracies("nasbench101", path).read_all().num_rows == 3 * 4


def test_any_other_name(tmp_path: Path) -> None:
    path = write_tfrecord(tmp_path / "some.tfrecord", TRAININGS)
    assert read_accuracies("nasbench101", path).read_all().num_rows == 3 * 4
