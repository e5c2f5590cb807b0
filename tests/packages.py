"""Installs packages that offer something by entry points: a module and its metadata in a folder on the path."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, source: str, group: str, **offered: str) -> None:
    """Put a package into a folder, and the folder on the path until the test ends.

    Args:
        folder: folder for the package; it may contain other packages.
        module: name of the package and of its only module.
        source: source of the module.
        group: group of the entry points.
        offered: name of an entry point -> the attribute of the module to which it points.
    """
    (folder / f"{module}.py").write_text(source)
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [f"{name} = {module}:{attribute}" for name, attribute in offered.items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
