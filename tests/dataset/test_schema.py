"""Every file has exactly the columns and types of its table, whatever its rows contain."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from naswot_ray.dataset import layout, schema
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from naswot_ray.dataset.storage import Storage
from tests.dataset.making import FAILED, SPACE, TABLES, Row, add, make_dataset, mean_accuracy, score_row, write_part

DOCS = Path(__file__).parents[2] / "docs" / "dataset.md"


def all_failed(row: Row) -> Row:
    return FAILED


def without_error(row: Row) -> Row:
    return {"error": None}


@pytest.mark.parametrize("change", [all_failed, without_error])
@pytest.mark.parametrize("table", TABLES)
def test_every_file_of_a_table_has_its_schema(tmp_path: Path, table: str, change: Callable[[Row], Row]) -> None:
    dataset = make_dataset(tmp_path / "d", seeds=(0, 1), change=change)
    add(dataset, [mean_accuracy(i, num_repeats=None) for i in range(4)])
    join(dataset, SPACE)
    files = list((tmp_path / "d" / table).rglob("*.parquet"))
    assert files
    for file in files:
        found = pq.read_schema(file)
        assert found.equals(TABLES[table], check_metadata=False), f"{file}:\n{found}"


def test_a_dataset_written_by_a_run_has_the_schema(scored: Dataset) -> None:
    for table in ("scores", "architectures"):
        files = list((Path(scored.storage.root) / table).rglob("*.parquet"))
        assert files
        for file in files:
            assert pq.read_schema(file).equals(TABLES[table], check_metadata=False)


def test_a_part_tells_its_schema_version(tmp_path: Path) -> None:
    storage, path = Storage(tmp_path), layout.scores(SPACE, "noise", 4, 0, 0)
    write_part(storage, path, [score_row(0)])
    assert pq.read_schema(storage.path(path)).metadata[b"naswot_ray.schema_version"] == schema.SCHEMA_VERSION.encode()


@pytest.mark.parametrize("column", ["arch_id", "arch_index", "status", "seed"])
def test_a_key_is_never_null(tmp_path: Path, column: str) -> None:
    path = layout.scores(SPACE, "noise", 4, 0, 0)
    with pytest.raises((pa.ArrowException, ValueError, TypeError)):
        write_part(Storage(tmp_path), path, [score_row(0) | {column: None}])
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_value_of_the_wrong_type_is_refused(tmp_path: Path) -> None:
    path = layout.scores(SPACE, "noise", 4, 0, 0)
    with pytest.raises((pa.ArrowException, ValueError, TypeError)):
        write_part(Storage(tmp_path), path, [score_row(0, naswot="high")])


def test_the_columns_that_names_tell_are_in_the_files_too() -> None:
    for table, keys in schema.FILE_KEYS.items():
        assert set(keys) <= set(TABLES[table].names)


@pytest.mark.parametrize("table", TABLES)
def test_the_docs_explain_every_column(table: str) -> None:
    if not DOCS.exists():
        pytest.skip("docs/dataset.md is not written yet")
    explained = set(re.findall(r"`([^`\n]+)`", DOCS.read_text()))
    assert set(TABLES[table].names) <= explained


def test_minus_infinity_survives_and_is_no_null(tmp_path: Path) -> None:
    storage, path = Storage(tmp_path), layout.scores(SPACE, "noise", 4, 0, 0)
    rows: list[Row] = [score_row(0, naswot=float("-inf"), status="singular"), score_row(1, **FAILED)]
    write_part(storage, path, rows)
    found: list[Any] = pq.read_table(storage.path(path))["naswot"].to_pylist()
    assert found == [float("-inf"), None]
