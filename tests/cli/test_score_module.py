"""`naswot-ray score-module`: a network of the user's own, by its name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import torch

from naswot_ray import load_images, score_module
from naswot_ray.engines.module.target import load_module
from tests.cli.conftest import write_images
from tests.cli.running import check_refusal, naswot, naswot_process, prints

NETWORKS = """
import sys

import torch
import torch.nn.functional as F
from torch import nn

torch.rand(7)  # random numbers that the import draws


class Net(nn.Module):
    def __init__(self, activation=F.relu):
        super().__init__()
        self.conv1, self.conv2, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 3), nn.Linear(3 * 12 * 12, 5)
        self.activation = activation

    def forward(self, x):
        return self.head(F.relu(self.conv2(self.activation(self.conv1(x)))).flatten(1))

    @staticmethod
    def with_silu():
        return Net(F.silu)


class TwoHeads(Net):
    def forward(self, x):
        y = self.activation(self.conv1(x))
        return {"features": y, "logits": F.relu(self.conv2(y))}


class Tuple(TwoHeads):
    def forward(self, x):
        return tuple(super().forward(x).values())


def narrow():
    return nn.Sequential(nn.Conv2d(3, 1, 16), nn.ReLU())


def broken():
    raise RuntimeError("first line\\n  and second")


def needs_an_argument(width):
    return Net()


def ends():
    sys.exit(3)


def nothing():
    pass


class Smooth(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.GELU())


ready = Net()
number = 3
"""


def at(line: str) -> str:
    """Where a line is, as messages say it."""
    return f"(some_networks.py, line {NETWORKS.splitlines().index(line) + 1})"


NET_UNITS = 4 * 14 * 14 + 3 * 12 * 12
SMALL = ("--image-size", 16, "--batch-size", 6)


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of networks in the current folder. What it imports is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "some_networks.py"
    path.write_text(NETWORKS)
    yield path
    sys.modules.pop("some_networks", None)


def refusal(*args: object) -> str:
    result = naswot("score-module", *args)
    check_refusal(result.exit_code, result.stdout, result.stderr)
    return result.stderr.removeprefix("error: ").strip()


def values(text: str) -> dict[str, str]:
    """What stands in the lines of names and values, by name."""
    return {name.strip(): value for line in text.splitlines() for name, _, value in [line.partition("  ")] if value}


def test_what_it_prints(networks: Path) -> None:
    text = prints("score-module", "some_networks:Net", *SMALL, "--measure", "all")
    images = load_images("noise", image_size=16).batch(6, 0)
    torch.manual_seed(0)
    expected = score_module(sys.modules["some_networks"].Net(), images, measures=["all"])
    lines = text.splitlines()
    assert lines[0] == "some_networks:Net on 6 images of 3x16x16 from noise-16, seed 0"
    assert str(expected.activations) in text
    found = {name: value.strip() for name, value in values(text).items()}
    assert {name: float(found[name]) for name in expected} == pytest.approx(dict(expected), rel=1e-5)
    assert found["units"] == found["units of naswot_paper"] == f"{NET_UNITS:,}"
    assert found["units of the published code"] == "0"
    assert lines[-1].startswith(f"note: the published code would count 0 units here, not {NET_UNITS:,}")


@pytest.mark.parametrize("name", ["Net", "Net.with_silu", "ready"])
def test_classes_functions_and_modules(networks: Path, name: str) -> None:
    text = prints("score-module", f"{networks}:{name}", *SMALL)
    assert "\n.       relu       6x3x12x12    432  yes\n" in text


def test_the_seed_decides_weights_and_images(networks: Path) -> None:
    first, again, other = (prints("score-module", "some_networks:Net", *SMALL, "--seed", seed) for seed in (0, 0, 1))
    assert first == again
    assert values(first)["naswot"] != values(other)["naswot"]
    torch.manual_seed(5)
    expected = torch.nn.Conv2d(3, 4, 3)
    found = load_module("some_networks:Net", 5)
    assert torch.equal(next(found.parameters()), expected.weight), "whatever the import draws"


def test_weights_that_the_import_draws_are_seeded(networks: Path) -> None:
    first = load_module("some_networks:ready", 3)
    del sys.modules["some_networks"]
    assert torch.equal(next(first.parameters()), next(load_module("some_networks:ready", 3).parameters()))


def test_images_of_a_folder(networks: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", seed=0)
    text = prints(
        "score-module",
        "some_networks:Smooth",
        "--images",
        "cifar10",
        "--data",
        data,
        "--batch-size",
        4,
        "--activations",
        "sign",
    )
    assert text.startswith("some_networks:Smooth on 4 images of 3x32x32 from cifar10, seed 0\n")
    assert "gelu" in text
    assert set(values(text)) >= {"naswot_sign", "naswot_paper_sign"}


def test_what_is_not_counted_is_warned_of(networks: Path) -> None:
    result = naswot("score-module", "some_networks:Net.with_silu", *SMALL)
    assert result.exit_code == 0
    assert result.stderr == (
        "warning: Net: 1 of 2 activations are not counted: silu ×1 (not piecewise linear); activations='sign' counts gelu, "
        "silu and the like\n"
    )
    assert refusal("some_networks:Net.with_silu", *SMALL, "--strict").startswith("Net: 1 of 2 activations are not counted")


def test_why_it_is_singular(networks: Path) -> None:
    text = prints("score-module", "some_networks:narrow", *SMALL)
    assert values(text)["naswot"].strip() == "-inf"
    assert "singular: 1 unit cannot tell 6 images apart: K has rank 2 at most\n" in text


@pytest.mark.parametrize(
    ("name", "outputs", "num_units"),
    [
        ("TwoHeads", (), 4 * 14 * 14),
        ("TwoHeads", ("--outputs", "logits"), NET_UNITS),
        ("Tuple", ("--outputs", "0"), 4 * 14 * 14),
        ("Tuple", ("--outputs", "-1"), NET_UNITS),
    ],
)
def test_outputs(networks: Path, name: str, outputs: tuple[str, ...], num_units: int) -> None:
    text = prints("score-module", f"some_networks:{name}", *SMALL, *outputs)
    assert values(text)["units"].strip() == f"{num_units:,}"


FORWARD = "        return self.head(F.relu(self.conv2(self.activation(self.conv1(x)))).flatten(1))"

REFUSED: Final = {
    "no colon": (
        "some_networks",
        "some_networks: expected MODULE:FUNCTION or FILE.py:FUNCTION, as in torchvision.models:resnet18",
    ),
    "no function": ("some_networks:", "some_networks:: expected MODULE:FUNCTION"),
    "no module": ("nowhere.at_all:f", "there is no module nowhere, neither in "),
    "no module in a package": ("torch.nowhere:f", "there is no module torch.nowhere, neither in "),
    "no file": ("nowhere.py:f", "nowhere.py: there is no such file"),
    "a path that is no module": (
        "some/networks:f",
        "some/networks: expected the dotted name of a module, as in package.module",
    ),
    "a name that is nearly right": ("some_networks:narow", "some_networks has no narow; it has: narrow"),
    "a name that is not there": (
        "some_networks:resnet",
        "some_networks has no resnet; it has: Net, TwoHeads, Tuple, narrow, broken, needs_an_argument, ends, nothing, Smooth, "
        "ready",
    ),
    "an attribute of a class": ("some_networks:Net.make", "some_networks:Net has no make; it has: "),
    "no function but a number": (
        "some_networks:number",
        "some_networks:number is of type int; expected a function, a class or",
    ),
    "an argument": (
        "some_networks:needs_an_argument",
        "some_networks:needs_an_argument raised TypeError: needs_an_argument() missing 1 required positional argument: 'width'",
    ),
    "an exception": (
        "some_networks:broken",
        "some_networks:broken raised RuntimeError: first line and second "
        + at('    raise RuntimeError("first line\\n  and second")'),
    ),
    "an end of the process": ("some_networks:ends", f"some_networks:ends raised SystemExit: 3 {at('    sys.exit(3)')}"),
    "no module but None": ("some_networks:nothing", "some_networks:nothing gave None; expected a torch.nn.Module"),
    "images of another size": (
        "some_networks:Net",
        "some_networks:Net raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x2352 and 432x5) "
        f"{at(FORWARD)}, on images of 3x32x32; if it takes images of another size, give that with --image-size",
    ),
    "nothing to count": ("some_networks:Smooth", "Smooth has no activation to count; it executes: gelu ×1"),
}


@pytest.mark.parametrize(("target", "message"), REFUSED.values(), ids=REFUSED)
def test_a_bad_target(networks: Path, target: str, message: str) -> None:
    assert refusal(target, "--batch-size", 4).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", "importing bad_networks raised SyntaxError: "),
        ("import nowhere_at_all\n", "importing bad_networks raised ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise SystemExit('usage')\n", "importing bad_networks raised SystemExit: usage (bad_networks.py, line 1)"),
    ],
)
def test_a_file_that_cannot_be_imported(networks: Path, text: str, message: str) -> None:
    networks.with_name("bad_networks.py").write_text(text)
    assert refusal("bad_networks:f").startswith(message)
    assert refusal("bad_networks.py:f").startswith(message.replace("bad_networks", "bad_networks.py", 1))


def test_a_file_with_a_name_that_is_taken(networks: Path) -> None:
    networks.with_name("json.py").write_text(NETWORKS)
    assert refusal("json.py:Net") == "json.py: another module is called json already; rename this file"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--measure", "nwot"), "unknown measure 'nwot'; there are: naswot"),
        (("--images", "cifar10"), "image source cifar10 needs a data directory (--data DIR)"),
        (("--batch-size", 1), "batch size 1: a kernel needs at least 2 images"),
        (("--image-size", 16, "--outputs", "logits"), "Net returned Tensor, which has no output 'logits'"),
    ],
)
def test_a_bad_option(networks: Path, options: tuple[object, ...], message: str) -> None:
    assert refusal("some_networks:Net", *options).startswith(message)


def test_in_a_process_of_its_own_it_needs_no_ray(networks: Path) -> None:
    done = naswot_process("score-module", "some_networks:Net", *SMALL, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    assert np.isfinite(float(values(done.stdout)["naswot"]))
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "torch" in imported
    assert "ray" not in imported
