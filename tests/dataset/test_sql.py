"""A connection that is locked down can reach its tables and nothing else, and cannot be unlocked."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from naswot_ray.dataset.sql import literal, lock_down, quoted
from tests.dataset.making import make_dataset, snapshot

FORBIDDEN = {
    "read a file": "FROM read_csv('{root}/in.csv')",
    "read a file's text": "FROM read_text('{root}/in.csv')",
    "list files": "FROM glob('{root}/*')",
    "write a file": "COPY (SELECT 1) TO '{root}/out.csv'",
    "overwrite a part": "COPY scores TO '{part}' (FORMAT parquet)",
    "write while explaining": "EXPLAIN ANALYZE COPY (SELECT 1) TO '{root}/out.csv'",
    "export": "EXPORT DATABASE '{root}/out'",
    "attach": "ATTACH '{root}/out.db'",
    "read by HTTP": "FROM 'http://127.0.0.1:9/x.parquet'",
    "read a bucket": "FROM 's3://bucket/x.parquet'",
    "install": "INSTALL httpfs",
    "load": "LOAD httpfs",
    "allow access": "SET enable_external_access = true",
    "allow installing": "SET autoinstall_known_extensions = true",
    "allow a folder": "SET allowed_directories = ['/']",
    "write a log": "PRAGMA enable_profiling; SET profile_output = '{root}/out'",
    "see a variable": "FROM table_of_the_program",
}


@pytest.mark.parametrize("sql", FORBIDDEN.values(), ids=list(FORBIDDEN))
def test_what_a_locked_connection_cannot_do(tmp_path: Path, sql: str) -> None:
    dataset = make_dataset(tmp_path / "d", indices=range(4))
    (tmp_path / "in.csv").write_text("a\n1\n")
    table_of_the_program = pa.table({"a": [1]})
    before = snapshot(tmp_path)
    with dataset.connect() as connection, pytest.raises(duckdb.Error):
        connection.execute(sql.format(root=tmp_path, part=next((tmp_path / "d" / "scores").iterdir()))).fetchall()
    assert snapshot(tmp_path) == before
    assert table_of_the_program.num_rows == 1


def test_what_a_locked_connection_can_do(tmp_path: Path) -> None:
    with make_dataset(tmp_path / "d", indices=range(4)).connect() as connection:
        connection.execute("CREATE TABLE mine AS SELECT arch_index, naswot FROM scores")
        connection.register("yours", pa.table({"arch_index": pa.array([2], pa.int32())}))
        assert connection.sql("SELECT naswot FROM mine JOIN yours USING (arch_index)").fetchall() == [(102.0,)]


def test_an_unsafe_connection_reads_files(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n")
    with make_dataset(tmp_path / "d", indices=range(4)).connect(unsafe=True) as connection:
        assert connection.sql(f"FROM '{tmp_path / 'in.csv'}'").fetchall() == [(1,)]


def test_what_does_not_fit_into_memory_goes_to_the_scratch_folder_and_goes_away(tmp_path: Path) -> None:
    with duckdb.connect(config={"memory_limit": "80MB", "threads": "1"}) as connection:
        lock_down(connection, tmp_path / "scratch")
        rows = "SELECT i, repeat('x', 50) || i AS a FROM range(1000000) t(i) ORDER BY a DESC OFFSET 1"
        assert connection.sql(f"SELECT count(*) FROM ({rows})").fetchall() == [(999_999,)]
        assert (tmp_path / "scratch").exists()
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize("text", ["it's", 'a "b"', "a\nb", "\\", "$1 ?", "{x}", "'; DROP VIEW scores; --", "ä\u202e"])
def test_any_text_is_a_literal_and_a_name(text: str) -> None:
    with duckdb.connect() as connection:
        relation = connection.sql(f"SELECT {literal(text)} AS {quoted(text)}")
        assert (relation.columns, relation.fetchall()) == ([text], [(text,)])
