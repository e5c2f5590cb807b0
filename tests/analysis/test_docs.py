"""docs/analysis.md explains every column, and its queries run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

from naswot_ray.analysis.rank_sums import RANK_SUMS
from naswot_ray.analysis.tables import ANALYSIS, STABILITY
from naswot_ray.dataset.schema import BASELINES
from tests.cli.running import prints
from tests.dataset.making import add, make_dataset, mean_accuracy

PAGE = (Path(__file__).parents[2] / "docs" / "analysis.md").read_text()


@pytest.mark.parametrize(("file", "columns"), [("analysis.parquet", ANALYSIS.names), ("stability.parquet", STABILITY.names)])
def test_every_column_is_explained(file: str, columns: list[str]) -> None:
    section = PAGE.partition(f"\n## {file}\n")[2].partition("\n## ")[0]
    for name in columns:
        assert f"`{name}`" in section, name


def test_the_queries_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = make_dataset(tmp_path / "scores", batch_sizes=(4, 8))
    add(dataset, [mean_accuracy(i) for i in range(8)])
    prints("join", "scores")
    prints("analyse", "scores")
    by_batch, beside = (rows_of(query) for query in re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    of_naswot = [row for row in by_batch if row["predictor"] == "naswot"]
    assert [(row["batch_size"], row["tau"]) for row in of_naswot] == [(4, -1.0), (8, -1.0)]
    assert [row["params"] for row in beside] == [-1.0, -1.0]
    assert beside[0].keys() >= {*BASELINES, "naswot", "naswot_paper", "naswot given params"}


def test_every_rank_sum_is_explained_with_its_parts() -> None:
    for name, one in RANK_SUMS.items():
        line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
        assert line.split("|")[2].strip() == ", ".join(f"`{part}`" for part in one.parts)


def rows_of(query: str) -> list[dict[str, Any]]:
    result = duckdb.execute(query)
    return [dict(zip((column[0] for column in result.description or ()), row, strict=True)) for row in result.fetchall()]
