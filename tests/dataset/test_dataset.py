"""A dataset as people read it: with pyarrow, with DuckDB views, and with plain DuckDB on the files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import naswot_ray
from naswot_ray.dataset import layout, manifest
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError
from tests.dataset.making import SPACE, TABLES, Row, add, arch_id, make_dataset, mean_accuracy, score_row, settings

DUCKDB_TYPES = {"string": "VARCHAR", "int32": "INTEGER", "int64": "BIGINT", "double": "DOUBLE"}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    made = make_dataset(tmp_path / "d", batch_sizes=(4, 8), seeds=(0, 2**40))
    add(made, [mean_accuracy(i) for i in range(8)])
    join(made, SPACE)
    return made


def empty_dataset(root: Path) -> Dataset:
    manifest.write(Storage(root), manifest.create(settings(), shard_size=4))
    return Dataset(root)


@pytest.mark.parametrize("table", TABLES)
def test_pyarrow_tables_have_exactly_the_schema(dataset: Dataset, table: str) -> None:
    found = getattr(dataset, table)
    assert found.schema.equals(TABLES[table])
    read = found.to_table()
    assert read.schema.equals(TABLES[table])
    assert read.num_rows > 0


def test_rows_come_back_as_written(dataset: Dataset) -> None:
    found = dataset.scores.to_table().sort_by([(k, "ascending") for k in ("batch_size", "seed", "arch_index")]).to_pylist()
    assert found == [score_row(i, batch_size=n, seed=seed) for n in (4, 8) for seed in (0, 2**40) for i in range(8)]


def test_pyarrow_filters_on_partition_columns(dataset: Dataset) -> None:
    chosen = (pc.field("batch_size") == 8) & (pc.field("seed") == 2**40) & (pc.field("space") == SPACE)
    found = dataset.scores.to_table(filter=chosen & (pc.field("naswot") >= 106)).to_pylist()
    assert [(row["batch_size"], row["seed"], row["arch_index"]) for row in found] == [(8, 2**40, 6), (8, 2**40, 7)]
    assert dataset.scores.count_rows(filter=pc.field("images") == "cifar10") == 0
    assert len(list(dataset.scores.get_fragments(filter=chosen))) == 2, "other folders are not even opened"


@pytest.mark.parametrize("table", TABLES)
def test_duckdb_views_have_the_columns_and_types(dataset: Dataset, table: str) -> None:
    with dataset.connect() as connection:
        described = connection.execute(f"DESCRIBE {table}").fetchall()
        count = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    expected = [(field.name, DUCKDB_TYPES[str(field.type)]) for field in TABLES[table]]
    assert [(name, type_) for name, type_, *_ in described] == expected
    assert count == [(getattr(dataset, table).count_rows(),)]


def test_views_filter_on_partition_columns(dataset: Dataset) -> None:
    with dataset.connect() as connection:
        found = connection.sql(
            f"SELECT arch_id, naswot FROM scores WHERE batch_size = 8 AND seed = {2**40} AND arch_index < 2"
        ).fetchall()
    assert sorted(found) == sorted([(arch_id(0), 100.0), (arch_id(1), 101.0)])


def rows_of(relation: duckdb.DuckDBPyRelation | None) -> list[Row]:
    assert relation is not None
    found: list[Row] = relation.to_arrow_table().to_pylist()
    return sorted(found, key=lambda row: [str(value) for value in row.values()])


@pytest.mark.parametrize("name", ["d", "it's a data set", "pässe=1"])
@pytest.mark.parametrize("table", ["scores", "architectures", "accuracies"])
def test_plain_duckdb_reads_the_same_rows(tmp_path: Path, name: str, table: str) -> None:
    dataset = make_dataset(tmp_path / name, batch_sizes=(4, 8), seeds=(0, 1))
    add(dataset, [mean_accuracy(i) for i in range(8)])
    pattern = str(tmp_path / name / table / "*.parquet").replace("'", "''")
    columns = ", ".join(TABLES[table].names)
    plain = duckdb.sql(f"SELECT {columns} FROM read_parquet('{pattern}')")
    with dataset.connect(unsafe=True) as connection:
        assert rows_of(plain) == rows_of(connection.sql(f"SELECT * FROM {table}"))
        assert rows_of(plain)
        expression = connection.sql(f"SELECT {columns} FROM {dataset.read_parquet(table)}")
        assert rows_of(plain) == rows_of(expression)


def test_rows_are_those_that_the_name_of_their_file_tells(dataset: Dataset) -> None:
    """Otherwise they could bring in a space that no check has seen."""
    rows = [score_row(index) | {"space": "../x", "seed": 9} for index in range(4)]
    dataset.storage.write_table(layout.scores(SPACE, "noise", 4, 0, 0), pa.Table.from_pylist(rows, TABLES["scores"]))
    with dataset.connect() as connection:
        assert connection.sql("SELECT DISTINCT space, seed FROM scores ORDER BY ALL").fetchall() == [(SPACE, 0), (SPACE, 2**40)]


@pytest.mark.parametrize("name", ["it's a data set", "a [1] b", "50%", "what?", "a*b", "{x}", "sp=ace"])
def test_a_directory_with_an_odd_name(tmp_path: Path, name: str) -> None:
    dataset = make_dataset(tmp_path / name, indices=range(4))
    assert dataset.scores.count_rows() == 4
    with dataset.connect() as connection:
        assert connection.sql("SELECT arch_index FROM scores ORDER BY ALL").fetchall() == [(0,), (1,), (2,), (3,)]


def test_a_directory_whose_name_is_a_pattern_is_itself_alone(tmp_path: Path) -> None:
    make_dataset(tmp_path / "scores1", indices=range(8))
    dataset = make_dataset(tmp_path / "scores?", indices=range(4))
    with dataset.connect() as connection:
        assert connection.sql("SELECT count(*) FROM scores").fetchall() == [(4,)]


@pytest.mark.parametrize("table", TABLES)
def test_tables_without_files_are_empty_with_their_columns(tmp_path: Path, table: str) -> None:
    dataset = empty_dataset(tmp_path / "d")
    found = getattr(dataset, table)
    assert found.schema.equals(TABLES[table])
    assert found.to_table().num_rows == 0
    with dataset.connect() as connection:
        assert connection.sql(f"SELECT {', '.join(TABLES[table].names)} FROM {table}").fetchall() == []
        described = connection.execute(f"DESCRIBE {table}").fetchall()
    expected = [(field.name, DUCKDB_TYPES[str(field.type)]) for field in TABLES[table]]
    assert [(name, type_) for name, type_, *_ in described] == expected
    assert dataset.runs == []


def test_temporaries_of_writers_are_not_read(dataset: Dataset) -> None:
    part = layout.scores(SPACE, "noise", 4, 0, 9)
    temporary = Path(dataset.storage.root) / layout.temporary(part, "token")
    temporary.write_bytes(b"half a part")
    assert dataset.scores.count_rows() == 32
    with dataset.connect() as connection:
        assert connection.sql("SELECT count(*) FROM scores").fetchall() == [(32,)]


def test_a_dataset_of_a_real_run(scored: Dataset) -> None:
    opened = naswot_ray.open(scored.storage.root)
    rows = opened.scores.to_table().to_pylist()
    assert [row["arch_id"] for row in rows] == [arch_id(0), arch_id(1)]
    assert all(row["status"] == "ok" and row["num_units"] > 0 for row in rows)
    assert {row["run_id"] for row in rows} == {opened.runs[0].run_id}
    with opened.connect() as connection:
        joined = connection.sql("SELECT arch_id, naswot FROM scores JOIN architectures USING (space, arch_id) WHERE params > 0")
        assert sorted(joined.fetchall()) == sorted((row["arch_id"], row["naswot"]) for row in rows)


def test_a_file_uri(dataset: Dataset) -> None:
    assert naswot_ray.open(f"file://{dataset.storage.root}").scores.count_rows() == 32


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere does not exist"):
        naswot_ray.open(tmp_path / "nowhere")


def test_something_else_there(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(DatasetError, match=r"is not a dataset: it has no dataset\.json"):
        naswot_ray.open(tmp_path)
    with pytest.raises(DatasetError, match=r"thesis\.tex is a file"):
        naswot_ray.open(tmp_path / "thesis.tex")
    with pytest.raises(DatasetError, match=r"https://example.org/d: expected a local path or a URI"):
        naswot_ray.open("https://example.org/d")


def test_reading_a_dataset_needs_neither_torch_nor_ray(dataset: Dataset) -> None:
    script = (
        "import sys, naswot_ray, naswot_ray.dataset.dataset, naswot_ray.dataset.join, naswot_ray.analysis.summary\n"
        "assert naswot_ray.open(sys.argv[1]).scores.count_rows() == 32\n"
        "print([name for name in ('torch', 'ray') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, dataset.storage.root], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
