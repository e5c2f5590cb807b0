"""`naswot-ray figures`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import MAP
from tests.cli.running import naswot, prints, refuses
from tests.report.pages import make_joined

KINDS = ("naswot-scatter", "naswot-batch-sizes", "kernels")
NAMES = {f"nasbench201-noise-{kind}{suffix}" for kind in KINDS for suffix in (".svg", ".png")}


@pytest.fixture
def joined(tmp_path: Path) -> Path:
    return Path(make_joined(tmp_path / "d").storage.root)


def test_figures_are_written_as_svg_and_png(joined: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures"
    printed = prints("figures", joined, "-o", out, "--colour", "num_layers")
    assert {path.name for path in out.iterdir()} == NAMES
    assert str(out / "nasbench201-noise-naswot-scatter.svg") in printed


def test_figures_need_accuracies(root: Path, tmp_path: Path) -> None:
    assert "holds no accuracies" in refuses(tmp_path, "figures", root, "-o", tmp_path / "figures")


def test_an_unknown_colour(joined: Path, tmp_path: Path) -> None:
    message = refuses(tmp_path, "figures", joined, "-o", tmp_path / "figures", "--colour", "mood")
    assert message == "error: --colour mood: expected one of params, flops, num_relus, num_layers"


def test_another_measure_is_drawn_beside_the_first(joined: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures"
    prints("figures", joined, "-o", out)
    prints("figures", joined, "-o", out, "--measure", "meco")
    assert {path.name for path in out.iterdir()} == NAMES | {name.replace("naswot", "meco") for name in NAMES}


def test_an_unknown_measure(joined: Path, tmp_path: Path) -> None:
    message = refuses(tmp_path, "figures", joined, "-o", tmp_path / "figures", "--measure", "mecoo")
    assert message.startswith(f"error: {joined} has no measure 'mecoo'; it has naswot, naswot_paper, ")
    assert message.endswith("; did you mean meco?")


def test_a_measure_without_values(joined: Path, tmp_path: Path) -> None:
    result = naswot("figures", joined, "-o", tmp_path / "figures", "--measure", "swap")
    assert result.exit_code == 2
    told = " ".join(result.stderr.split())
    assert "nasbench201-noise-swap left out: no row has a value to plot" in told
    assert f"error: {joined} has no value of swap to plot" in told


def test_kernels_need_the_images_of_the_dataset(run: tuple[Path, str], accuracies: Path, tmp_path: Path) -> None:
    dataset = shutil.copytree(run[0], tmp_path / "d")
    prints("join", dataset, "--accuracies", accuracies, *MAP)
    result = naswot("figures", dataset, "-o", tmp_path / "a")
    assert result.exit_code == 0
    assert "nasbench201-cifar10-kernels left out: give the folder of the images with --data" in " ".join(result.stderr.split())
    prints("figures", dataset, "-o", tmp_path / "b", "--data", run[0].parent / "data")
    assert (tmp_path / "b" / "nasbench201-cifar10-kernels.svg").exists()
