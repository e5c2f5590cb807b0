"""`naswot-ray publish`: what it prints, its exit status, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from naswot_ray.publish import rank_agreement
from tests.cli.running import naswot, naswot_process, prints, refuses
from tests.dataset.making import add, make_dataset, mean_accuracy


def test_a_complete_dataset(root: Path, tmp_path: Path) -> None:
    text = prints("publish", root, "-o", tmp_path / "out")
    assert "nasbench201: 32 rows in 1 file\nnasbench201_architectures: 8 rows in 1 file\n" in text
    assert f"{tmp_path / 'out'}: " in text
    assert (tmp_path / "out" / "README.md").exists()


def test_arrow_files(root: Path, tmp_path: Path) -> None:
    prints("publish", root, "-o", tmp_path / "out", "--format", "arrow")
    assert (tmp_path / "out" / "data" / "nasbench201" / "scores-00000-of-00001.arrow").exists()


def test_missing_rows_are_told_and_set_the_exit_status(tmp_path: Path) -> None:
    make_dataset(tmp_path / "d", indices=range(6), limit=8)
    result = naswot("publish", tmp_path / "d", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "INCOMPLETE: 2 of 8 score rows are missing or lack a measure. " in result.stdout
    assert (tmp_path / "out" / "README.md").exists()


def test_tau_outside_the_published_band_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_agreement, "REAL_IMAGES", ("noise",))
    monkeypatch.setattr(rank_agreement, "ENOUGH_FOR_TAU", 8)
    dataset = make_dataset(tmp_path / "d")
    add(dataset, [mean_accuracy(i) for i in range(8)])
    text = prints("publish", tmp_path / "d", "-o", tmp_path / "out")
    assert "tau of naswot is outside the published band: nasbench201, cifar10, noise images, batch size 4: -1.000\n" in text
    assert "naswot_paper outside" not in text


def test_a_folder_with_something_in_it(root: Path, tmp_path: Path) -> None:
    message = refuses(tmp_path, "publish", root, "-o", root.parent)
    assert "is there and not an empty folder" in message


def test_nothing_of_the_hub_is_imported_without_push(root: Path, tmp_path: Path) -> None:
    done = naswot_process("publish", root, "-o", tmp_path / "out", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert not {"huggingface_hub", "torch", "ray"} & {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
