"""`naswot-ray query`: tables, CSV and Parquet, to the terminal and to files."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.running import check_refusal, naswot, naswot_process, prints, refuses
from tests.dataset.making import arch_id, snapshot

BEST = "SELECT arch_id, avg(score) AS mean FROM scores WHERE batch_size = 8 GROUP BY ALL ORDER BY mean DESC LIMIT 2"
ROWS = [(arch_id(7), 107.0), (arch_id(6), 106.0)]


def test_a_table(root: Path) -> None:
    text = prints("query", root, BEST)
    assert arch_id(7) in text
    assert text.index(arch_id(7)) < text.index(arch_id(6))
    assert "mean" in text
    assert "107.0" in text


def test_csv(root: Path) -> None:
    text = prints("query", root, BEST, "--format", "csv")
    header, *rows = csv.reader(io.StringIO(text))
    assert header == ["arch_id", "mean"]
    assert [(name, float(mean)) for name, mean in rows] == ROWS
    assert text.endswith("\n")


def test_null_and_infinity_in_csv(root: Path) -> None:
    sql = "SELECT NULL::DOUBLE AS a, '-inf'::DOUBLE AS b, 'x,\"y' AS c"
    assert list(csv.reader(io.StringIO(prints("query", root, sql, "--format", "csv")))) == [
        ["a", "b", "c"],
        ["", "-inf", 'x,"y'],
    ]


def test_a_result_without_rows(root: Path) -> None:
    assert prints("query", root, "SELECT arch_id FROM scores WHERE seed = 99", "--format", "csv").strip() == '"arch_id"'
    assert "arch_id" in prints("query", root, "SELECT arch_id FROM scores WHERE seed = 99")


@pytest.mark.parametrize("format_", ["table", "csv", "parquet"])
def test_to_a_file(root: Path, tmp_path: Path, format_: str) -> None:
    out = tmp_path / "out"
    before = snapshot(root)
    assert prints("query", root, BEST, "--format", format_, "-o", out) == ""
    if format_ == "parquet":
        assert [tuple(row.values()) for row in pq.read_table(out).to_pylist()] == ROWS
    elif format_ == "csv":
        assert [(name, float(mean)) for name, mean in list(csv.reader(io.StringIO(out.read_text())))[1:]] == ROWS
    else:
        assert out.read_text() == prints("query", root, BEST)
    assert snapshot(root) == before


def test_a_file_that_exists_is_not_overwritten(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("precious")
    message = refuses(tmp_path, "query", root, BEST, "--format", "csv", "-o", out)
    assert message == f"error: {out} exists; name another file or remove it"


def test_parquet_needs_a_file(root: Path) -> None:
    assert refuses(root, "query", root, BEST, "--format", "parquet") == "error: --format parquet needs --output FILE"


@pytest.mark.parametrize("format_", ["table", "csv", "parquet"])
def test_a_file_in_a_folder_that_is_not_there(root: Path, tmp_path: Path, format_: str) -> None:
    message = refuses(tmp_path, "query", root, BEST, "--format", format_, "-o", tmp_path / "nowhere" / "out")
    assert str(tmp_path / "nowhere") in message


@pytest.mark.parametrize(
    ("sql", "format_"), [("SELECT list(score) AS l FROM scores", "csv"), ("SELECT INTERVAL 1 DAY AS i", "parquet")]
)
def test_a_result_that_the_format_cannot_hold(root: Path, tmp_path: Path, sql: str, format_: str) -> None:
    refuses(tmp_path, "query", root, sql, "--format", format_, "-o", tmp_path / "out")


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELECT nope FROM scores", "nope"),
        ("SELECT * FROM nope", "nope"),
        ("SELEC 1", "SELEC"),
        ("SELECT 'x'::DOUBLE FROM scores", "Could not convert"),
        ("SELECT error('stop here') FROM scores", "stop here"),
    ],
)
@pytest.mark.parametrize("format_", ["table", "csv"])
def test_bad_sql(root: Path, sql: str, named: str, format_: str) -> None:
    result = naswot("query", root, sql, "--format", format_)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: query failed: ")  # DuckDB's own message, which may show the place below
    assert named in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("sql", ["", " ", "/* nothing */", "CREATE TABLE t (x INT)", "SELECT 1; SELECT 2"])
def test_no_sql(root: Path, sql: str) -> None:
    assert refuses(root, "query", root, sql) == "error: expected one statement that gives rows: SELECT, DESCRIBE or SUMMARIZE"


@pytest.mark.parametrize("table", ["scores", "architectures", "accuracies", "joined"])
def test_every_view_is_there(root: Path, table: str) -> None:
    count = prints("query", root, f"SELECT count(*) AS n FROM {table}", "--format", "csv")
    assert count.split() == ['"n"', {"scores": "32", "architectures": "8"}.get(table, "0")]


PROGRAM = f"{sys.executable} -c 'from naswot_ray.cli import main; main()'"


def test_a_reader_that_leaves_early(root: Path) -> None:
    line = f"{PROGRAM} query {root} 'FROM range(1000000)' --format csv | head -1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout == '"range"\n'
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("format_", ["csv", "table"])
def test_an_output_that_is_full(root: Path, format_: str) -> None:
    line = f"{PROGRAM} query {root} 'FROM range(1000000)' --format {format_} > /dev/full"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_in_a_process(root: Path) -> None:
    done = naswot_process("query", root, BEST, "--format", "csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert [(name, float(mean)) for name, mean in list(csv.reader(io.StringIO(done.stdout)))[1:]] == ROWS
    done = naswot_process("query", root / "nowhere", "SELECT 1")
    check_refusal(done.returncode, done.stdout, done.stderr)
    assert "nowhere does not exist" in done.stderr
