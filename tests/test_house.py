"""Imports run one way (docs/architecture.md), and heavy packages stay in their rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pathspec
import pytest

PACKAGE = Path(__file__).parents[1] / "naswot_ray"

ROOMS = {
    "network": {"network"},
    "spaces": {"spaces", "network", "registry", "cache", "citation", "paths", "errors", "regular_file"},
    "images": {"images", "philox", "paths", "errors", "regular_file", "safe_pickle"},
    "measures": {"measures", "network", "registry", "citation", "errors"},
    # the cache of engines holds compiled kernels, that of dataset what inputs.py downloads
    "engines": {"engines", "measures", "spaces", "network", "philox", "cache", "private_folder", "errors"},
    "dataset": {
        "dataset",
        "measures",
        "registry",
        "cache",
        "private_folder",
        "paths",
        "errors",
        "regular_file",
        "spreadsheet",
        "terminal",
    },
    "grid": {"grid", "engines", "measures", "images", "dataset", "spaces", "philox", "paths", "errors"},
    "run": {"run", "grid", "engines", "measures", "images", "dataset", "spaces", "network", "paths", "errors", "terminal"},
    "benchmarks": {"benchmarks", "fetch", "dataset", "spaces", "registry", "errors", "safe_pickle", "regular_file"},
    "fetch": {"fetch", "images", "cache", "private_folder", "errors", "terminal"},
    "analysis": {"analysis", "grid", "dataset", "measures", "spaces", "registry", "errors", "markdown", "terminal"},
    # run for options, grid for coverage, fetch for licences of sources
    "publish": {
        "publish",
        "citation",
        "analysis",
        "run",
        "grid",
        "fetch",
        "dataset",
        "measures",
        "spaces",
        "markdown",
        "paths",
        "errors",
        "tolerance",
    },
    "report": {"report", "analysis", "grid", "dataset", "measures", "errors", "__version__"},
    "search": {"search", "analysis", "dataset", "engines", "measures", "spaces", "registry", "errors", "markdown", "terminal"},
    "ablation": {"ablation", "analysis", "engines", "measures", "images", "spaces", "philox", "errors"},
    "audit": {"audit", "grid", "dataset", "engines", "measures", "images", "spaces", "network", "errors", "tolerance"},
}
"""Room -> the rooms and modules of the package that it may import."""

OUTSIDE = {
    "torch": {"engines", "measures", "run"},  # measures only for a type
    "pyarrow": {"dataset", "benchmarks", "ablation", "analysis", "search", "publish", "cli"},
    "duckdb": {"dataset", "analysis", "search", "audit", "publish", "cli"},
    "matplotlib": {"ablation", "analysis", "search"},
    "plotly": {"report"},
    "ray": {"run"},
    "requests": {"fetch"},
}
"""Package -> the rooms that may import it."""


def imports(path: Path) -> set[str]:
    """Dotted names of everything that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_one_way(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        own = {name.split(".")[1] for name in imports(path) if name.startswith("naswot_ray.")}
        assert own <= ROOMS[room], path


@pytest.mark.parametrize("package", OUTSIDE)
def test_heavy_packages_stay_in_their_rooms(package: str) -> None:
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == package for name in imports(path))
    }
    assert users == OUTSIDE[package]


def test_ray_is_imported_in_few_modules() -> None:
    users = {path.name for path in PACKAGE.rglob("*.py") if any(name.split(".")[0] == "ray" for name in imports(path))}
    assert users == {"ray_pool.py", "ray_map.py", "ray_metrics.py"}


@pytest.mark.parametrize(
    ("room", "lacking"),
    [
        ("network", ["torch", "ray", "pyarrow"]),
        ("spaces", ["torch", "ray", "pyarrow"]),
        ("measures", ["torch", "ray", "pyarrow"]),
        ("dataset", ["torch", "ray"]),
        ("grid", ["torch", "ray"]),
        ("engines", ["ray", "pyarrow"]),
        ("analysis", ["torch", "ray"]),
        ("publish", ["torch", "ray"]),
        ("report", ["torch", "ray"]),
    ],
)
def test_a_room_is_imported_without_what_it_does_not_need(room: str, lacking: list[str]) -> None:
    """All modules of the room, and whatever they import in turn, are imported in a process of their own."""
    program = f"""
import importlib, pkgutil, sys
import naswot_ray.{room} as room
for info in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    importlib.import_module(info.name)
print(*[name for name in {lacking!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_no_room_is_forgotten() -> None:
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == {
        *ROOMS,
        "cli",
    }  # cli may import everything


def test_a_job_takes_the_whole_package_along() -> None:
    """Files that `.rayignore` names stay behind when `ray job submit` uploads the checkout."""
    root = PACKAGE.parent
    left_behind = pathspec.GitIgnoreSpec.from_lines((root / ".rayignore").read_text().splitlines())
    assert left_behind.match_file("scores-demo/dataset.json")
    assert left_behind.match_file(".venv/bin/python")
    for folder in ("naswot_ray", "jobs", "cluster", "bench"):
        assert not [path for path in (root / folder).rglob("*") if left_behind.match_file(path.relative_to(root))]
