"""Every common reader opens the tables with its default call, and sees the same rows and types (docs/dataset.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.dataframe
import datasets
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from naswot_ray.dataset.join import join
from tests.dataset.making import FAILED, SINGULAR, SPACE, TABLES, add, make_dataset, mean_accuracy


def _by_duckdb(query: str) -> pa.Table:
    relation = duckdb.sql(query)
    assert relation is not None
    return relation.to_arrow_table()


READERS: dict[str, Callable[[str], pa.Table]] = {
    "pandas": lambda folder: pa.Table.from_pandas(pd.read_parquet(folder), preserve_index=False),
    "pyarrow.parquet": pq.read_table,
    "pyarrow.dataset": lambda folder: pads.dataset(folder).to_table(),
    "pyarrow.dataset, hive": lambda folder: pads.dataset(folder, partitioning="hive").to_table(),
    "polars": lambda folder: pl.read_parquet(folder).to_arrow(),
    "polars, lazily": lambda folder: pl.scan_parquet(folder).collect().to_arrow(),
    "DuckDB, folder": lambda folder: _by_duckdb(f"SELECT * FROM read_parquet('{folder}')"),
    "DuckDB, pattern": lambda folder: _by_duckdb(f"SELECT * FROM '{folder}/*.parquet'"),
    "DuckDB, deep pattern": lambda folder: _by_duckdb(f"SELECT * FROM '{folder}/**/*.parquet'"),
    "dask": lambda folder: pa.Table.from_pandas(dask.dataframe.read_parquet(folder).compute(), preserve_index=False),
    "datasets": lambda folder: datasets.load_dataset(folder, split="train").data.table,
    "datasets, by format": lambda folder: datasets.load_dataset("parquet", data_dir=folder, split="train").data.table,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows have nulls, -inf, two seeds, two batch sizes, and more than one part for each."""
    dataset = make_dataset(
        tmp_path_factory.mktemp("readers") / "d",
        batch_sizes=(4, 8),
        seeds=(0, 2**40),
        change=lambda row: {2: FAILED, 5: SINGULAR}.get(row["arch_index"], {}),
    )
    add(dataset, [mean_accuracy(i) for i in range(8)])
    join(dataset, SPACE)
    return Path(dataset.storage.root)


def plain(table: pa.Table, columns: pa.Schema) -> list[dict[str, Any]]:
    """Rows in one order. What one library calls a missing value is renamed to what another calls it."""
    rows = table.select(columns.names).to_pylist()
    cleaned = [{name: None if value != value else value for name, value in row.items()} for row in rows]
    return sorted(cleaned, key=lambda row: [str(value) for value in row.values()])


def family(type_: pa.DataType) -> str:
    """Types that libraries do not distinguish."""
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "string"
    return str(type_)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "huggingface")
    datasets.disable_progress_bars()


@pytest.mark.usefixtures("quiet")
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index")  # dask itself calls pandas like this
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("reader", READERS)
def test_by_its_default_call(root: Path, reader: str, table: str) -> None:
    columns = TABLES[table]
    expected = pa.concat_tables([pq.ParquetFile(path).read() for path in sorted((root / table).iterdir())])
    found = READERS[reader](str(root / table))
    assert found.schema.names == columns.names
    assert plain(found, columns) == plain(expected, columns)
    through_numpy = reader in ("pandas", "dask")  # an integer column with nulls becomes one of floats there
    for field in columns:
        if not (through_numpy and found[field.name].null_count) and found[field.name].null_count < len(found):
            assert family(found.schema.field(field.name).type) == family(field.type), field.name


def test_pandas_filters_on_a_key(root: Path) -> None:
    found = pd.read_parquet(root / "scores", filters=[("seed", "==", 2**40), ("batch_size", "==", 8)])
    assert len(found) == 8
