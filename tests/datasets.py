"""Helpers for datasets in several tests: making one in this process, and reading its rows without what says how they were
made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import naswot_ray
from naswot_ray.dataset import schema
from naswot_ray.dataset.runs import RunRecord
from naswot_ray.run.job import score_spaces
from naswot_ray.run.options import ScoreOptions
from tests.dataset.making import TABLES


def score_here(output: Path | str, **options: Any) -> RunRecord:
    """Score in this process, without Ray."""
    return score_spaces(ScoreOptions.checked(output=output, in_process=True, **options))


def logical_rows(root: str | Path) -> list[tuple[Any, ...]]:
    """All score rows, sorted by their key, without the columns that may differ between two runs."""
    columns = [name for name in TABLES["scores"].names if name not in schema.SCORE_PROVENANCE]
    table = naswot_ray.open(root).scores.to_table(columns=columns)
    keys = [(name, "ascending") for name in ("space", "images", "batch_size", "seed", "arch_index")]
    return [tuple(row.values()) for row in table.sort_by(keys).to_pylist()]


def logical_architectures(root: str | Path) -> list[tuple[Any, ...]]:
    """All architecture rows, sorted."""
    table = naswot_ray.open(root).architectures.to_table().sort_by([("space", "ascending"), ("arch_index", "ascending")])
    return [tuple(row.values()) for row in table.to_pylist()]


def part_files(root: Path) -> list[Path]:
    """All score parts."""
    return sorted(root.glob("scores/part-*.parquet"))
