"""Reads the cluster configurations as Ray's launcher does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
AWS = ROOT / "ray-cluster.yaml"
ONPREM, GCP, KUBERAY = (ROOT / "cluster" / f"{name}.yaml" for name in ("onprem", "gcp", "kuberay"))
LAUNCHED = (AWS, ONPREM, GCP)
"""The configurations that `ray up` takes."""


def read(path: Path) -> dict[str, Any]:
    """Read one document of YAML."""
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    return config


def on_demand(text: str) -> str:
    """The default configuration after its switch is used: the line that its comment names is deleted."""
    comment, switch = "Delete this line for instances on demand", "InstanceMarketOptions"
    lines = text.splitlines(keepends=True)
    (after,) = [i + 1 for i, line in enumerate(lines) if comment in line]
    assert switch in lines[after]
    return "".join(lines[:after] + lines[after + 1 :])
