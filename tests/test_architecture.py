"""The page about the architecture describes what exists."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "naswot_ray"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """docs/architecture.py, which belongs to no package."""
    spec = spec_from_file_location("architecture", ROOT / "docs" / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_current(script: ModuleType) -> None:
    assert script.PICTURE.read_text("utf-8") == script.draw(), "run python docs/architecture.py"


def test_every_room_is_in_the_picture(script: ModuleType) -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(script.ROOMS) == rooms


def test_every_arrow_leads_down(script: ModuleType) -> None:
    arrows = script.arrows()
    assert ("grid", "dataset") in arrows
    assert ("run", "dataset") not in arrows, "run gets there by way of grid"
    assert [(room, target) for room, target in arrows if script.ROOMS[room][1] >= script.ROOMS[target][1]] == []


def test_every_file_that_the_page_names_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = [name for name in re.findall(r"`([\w/.-]+)`", text) if "/" in name or name.endswith(".py")]
    assert "run/worker.py" in named
    example = "scores/scores/part-nasbench201.cifar10.batch-128.seed-0.000042.parquet"
    assert [name for name in named if not (PACKAGE / name).exists() and not (ROOT / name).exists()] == [example]
