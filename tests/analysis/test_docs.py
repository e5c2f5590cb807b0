"""docs/analysis.md explains every column, and its queries run."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from naswot_ray.analysis.tables import ANALYSIS, STABILITY
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
    by_batch, beside = (duckdb.sql(query) for query in re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    assert [row[3:5] for row in by_batch.fetchall()] == [(4, -1.0), (8, -1.0)]
    assert set(beside.columns) >= {"flops", "num_layers", "params", "score", "score_paper"}
    assert [dict(zip(beside.columns, row, strict=True))["params"] for row in beside.fetchall()] == [-1.0, -1.0]
