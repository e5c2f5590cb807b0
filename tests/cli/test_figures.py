"""`naswot-ray figures`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import MAP
from tests.cli.running import naswot, prints, refuses
from tests.report.pages import make_joined

NAMES = {f"nasbench201-noise-{kind}{suffix}" for kind in ("scatter", "batch-sizes", "kernels") for suffix in (".svg", ".png")}


@pytest.fixture
def joined(tmp_path: Path) -> Path:
    return Path(make_joined(tmp_path / "d").storage.root)


def test_figures_are_written_as_svg_and_png(joined: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures"
    printed = prints("figures", joined, "-o", out, "--colour", "num_layers")
    assert {path.name for path in out.iterdir()} == NAMES
    assert str(out / "nasbench201-noise-scatter.svg") in printed


def test_figures_need_accuracies(root: Path, tmp_path: Path) -> None:
    assert "holds no accuracies" in refuses(tmp_path, "figures", root, "-o", tmp_path / "figures")


def test_an_unknown_colour(joined: Path, tmp_path: Path) -> None:
    message = refuses(tmp_path, "figures", joined, "-o", tmp_path / "figures", "--colour", "mood")
    assert message == "error: --colour mood: there are params, flops, num_layers, num_relus"


def test_kernels_need_the_images_of_the_dataset(run: tuple[Path, str], accuracies: Path, tmp_path: Path) -> None:
    dataset = shutil.copytree(run[0], tmp_path / "d")
    prints("join", dataset, "--accuracies", accuracies, *MAP)
    result = naswot("figures", dataset, "-o", tmp_path / "a")
    assert result.exit_code == 0
    assert "nasbench201-cifar10-kernels left out: say where the images are with --data" in " ".join(result.stderr.split())
    prints("figures", dataset, "-o", tmp_path / "b", "--data", run[0].parent / "data")
    assert (tmp_path / "b" / "nasbench201-cifar10-kernels.svg").exists()
