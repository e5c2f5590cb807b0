"""`naswot-ray query` writes tables, CSV and Parquet to the terminal and to files."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import math
import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import duckdb
import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len

from tests.cli.running import check_refusal, in_turn, naswot, naswot_process, prints, refuses
from tests.dataset.making import TABLES, arch_id, snapshot

BEST = "SELECT arch_id, avg(naswot) AS mean FROM scores WHERE batch_size = 8 GROUP BY ALL ORDER BY mean DESC LIMIT 2"
ROWS = [(arch_id(7), 107.0), (arch_id(6), 106.0)]


def test_a_table(root: Path) -> None:
    text = prints("query", root, BEST, "--format", "table")
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
    assert prints("query", root, "SELECT arch_id FROM scores WHERE seed = 99", "--format", "csv") == "arch_id\n"
    text = prints("query", root, "SELECT arch_id FROM scores WHERE seed = 99", "--format", "table")
    assert "arch_id" in text
    assert text.endswith("0 rows\n")


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
        assert out.read_text() == prints("query", root, BEST, "--format", "table")
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
    assert result.stderr.startswith("error: query failed: ")  # DuckDB's message follows, and may mark a place
    assert named in result.stderr
    assert "Traceback" not in result.stderr


NO_QUERIES = {
    "nothing": "",
    "a blank": " ",
    "a comment": "/* nothing */",
    "a semicolon": ";",
    "two": "SELECT 1; SELECT 2",
    "two pivots": "PIVOT scores ON seed USING avg(naswot); PIVOT scores ON seed USING avg(naswot)",
    "create": "CREATE TABLE t (x INT)",
    "create from a pivot": "CREATE TABLE t AS PIVOT scores ON seed USING avg(naswot)",
    "copy": "COPY scores TO 'leaked'",
    "copy of a pivot": "COPY (PIVOT scores ON seed USING avg(naswot)) TO 'leaked'",
    "copy explained": "EXPLAIN ANALYZE COPY scores TO 'leaked'",
    "copy explained with options": "EXPLAIN (ANALYZE, FORMAT json) COPY scores TO 'leaked'",
    "copy explained with options in another order": "EXPLAIN (FORMAT json, ANALYZE true) COPY scores TO 'leaked'",
    "copy explained behind a comment": "EXPLAIN /* x */ ANALYZE -- y\n COPY scores TO 'leaked'",
    "copy of a query in brackets explained": "EXPLAIN ANALYZE COPY (SELECT 1) TO 'leaked'",
    "create explained": "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
    "attach": "ATTACH 'leaked'",
    "set": "SET threads = 1",
    "install": "INSTALL spatial",
    "export": "EXPORT DATABASE 'leaked'",
    "insert": "INSERT INTO scores SELECT * FROM scores",
}


@pytest.mark.parametrize("sql", NO_QUERIES.values(), ids=list(NO_QUERIES))
def test_what_is_no_query(root: Path, tmp_path: Path, sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = refuses(tmp_path, "query", root, sql)
    assert message.startswith("error: expected one statement that gives rows: SELECT, FROM, WITH, VALUES, PIVOT")


@pytest.mark.parametrize(
    ("sql", "verb"),
    [
        ("WITH x AS (COPY scores TO 'leaked') FROM x", "COPY"),
        ("WITH y AS (SELECT 1), x AS NOT MATERIALIZED ( copy scores TO 'leaked') FROM x", "COPY"),
        ("WITH x AS (COPY scores TO 'leaked') PIVOT scores ON seed USING avg(naswot)", "COPY"),
        ("WITH x AS (DELETE FROM scores RETURNING *) FROM x", "DELETE"),
    ],
)
def test_a_with_that_writes(root: Path, tmp_path: Path, sql: str, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert refuses(tmp_path, "query", root, sql) == f"error: expected a statement that only reads; {verb} in a WITH writes"


READS = {
    "select": ("SELECT 1 AS a", "a\n1\n"),
    "lower case": ("select 1 as a", "a\n1\n"),
    "brackets": ("(SELECT 1 AS a)", "a\n1\n"),
    "semicolons": ("SELECT 1 AS a;;", "a\n1\n"),
    "a comment behind": ("SELECT 1 AS a -- b", "a\n1\n"),
    "a semicolon and comments behind": ("SELECT 'ä' AS \"ö\"; /* é; */ ; -- ü", "ö\nä\n"),
    "a comment before": ("/* a */ SELECT 1 AS a", "a\n1\n"),
    "a semicolon in a string": ("SELECT 'x;y' AS a;", "a\nx;y\n"),
    "a column named like a verb": ("WITH t AS (SELECT 1 AS copy) SELECT copy FROM t", "copy\n1\n"),
    "from": ("FROM scores SELECT count(*) AS n", "n\n32\n"),
    "with": ("WITH x AS (SELECT 1 AS a) FROM x", "a\n1\n"),
    "values": ("VALUES (1), (2)", "col0\n1\n2\n"),
    "pivot": ("PIVOT scores ON seed USING count(*) GROUP BY batch_size ORDER BY batch_size", "batch_size,0,1\n4,8,8\n8,8,8\n"),
    "pivot with an end": (
        "PIVOT scores ON seed USING count(*) GROUP BY batch_size ORDER BY ALL; --",
        "batch_size,0,1\n4,8,8\n8,8,8\n",
    ),
    "pivot in a query": (
        'SELECT batch_size AS b, "1" AS n FROM (PIVOT scores ON seed USING count(*) GROUP BY batch_size) ORDER BY ALL',
        "b,n\n4,8\n8,8\n",
    ),
    "unpivot": ("UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b", "name,value\na,1\nb,2\n"),
    "show": ("SHOW TABLES", "name\naccuracies\narchitectures\njoined\nscores\n"),
    "names that are there twice": ("SELECT 1 AS a, 2 AS a", "a,a_1\n1,2\n"),
}


@pytest.mark.parametrize(("sql", "expected"), READS.values(), ids=list(READS))
def test_statements_that_read(root: Path, sql: str, expected: str) -> None:
    assert prints("query", root, sql) == expected


def test_descriptions_and_plans(root: Path) -> None:
    assert "\nspace,VARCHAR,YES," in prints("query", root, "DESCRIBE scores")
    assert prints("query", root, "SUMMARIZE scores").count("\n") == 1 + len(TABLES["scores"].names)
    plans = ["SELECT 1", "ANALYZE SELECT 1", "(FORMAT json) SELECT 1", "(SELECT 1)", "ANALYZE (SELECT 1) UNION SELECT 2"]
    for sql in (f"EXPLAIN {plan}" for plan in [*plans, "(FORMAT json, ANALYZE) (SELECT 1)"]):
        assert prints("query", root, sql).startswith("explain_key,explain_value\n")
    assert "Projection" in prints("query", root, "EXPLAIN SELECT 1", "--format", "table")
    assert "\\n" not in prints("query", root, "EXPLAIN SELECT 1", "--format", "table")


ELSEWHERE = {
    "a file": "FROM '{outside}'",
    "a file by a function": "FROM read_text('{outside}')",
    "files by a pattern": "FROM glob('{outside}*')",
    "a part": "FROM read_parquet('{part}')",
    "HTTP": "FROM 'http://127.0.0.1:9/x.parquet'",
    "a bucket": "FROM 's3://bucket/x.parquet'",
}


@pytest.mark.parametrize("sql", ELSEWHERE.values(), ids=list(ELSEWHERE))
def test_a_query_reads_the_views_and_nothing_else(root: Path, tmp_path: Path, sql: str) -> None:
    (tmp_path / "outside.csv").write_text("a\n1\n")
    sql = sql.format(outside=tmp_path / "outside.csv", part=next((root / "scores").iterdir()))
    message = refuses(tmp_path, "query", root, sql)
    assert message.startswith("error: query failed: Permission Error: ")
    assert message.endswith("; a query can read only the dataset's views; --unsafe allows other files")


def test_an_unsafe_query_reads_other_files(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text("arch_index,mine\n3,x\n")
    sql = f"SELECT DISTINCT arch_id, mine FROM scores JOIN '{tmp_path / 'outside.csv'}' USING (arch_index)"
    assert prints("query", root, sql, "--unsafe") == f"arch_id,mine\n{arch_id(3)},x\n"
    assert "Table with name statements does not exist" in refuses(root, "query", root, "FROM statements", "--unsafe")


def test_a_name_that_is_a_variable_of_the_program(root: Path) -> None:
    assert "Table with name statements does not exist" in refuses(root, "query", root, "FROM statements")


ALL = "SELECT i, 'x' || i AS name FROM range(25000) t(i)"


def test_all_rows_reach_a_pipe(root: Path) -> None:
    rows = list(csv.reader(io.StringIO(prints("query", root, ALL))))
    assert rows == [["i", "name"], *([str(i), f"x{i}"] for i in range(25_000))]


def test_all_rows_and_columns_of_a_table(root: Path) -> None:
    columns = ", ".join(f"i AS a_long_name_of_column_{n}" for n in range(40))
    text = prints("query", root, f"SELECT {columns}, repeat('y', 3000) AS long FROM range(12000) t(i)", "--format", "table")
    head, *rows, footer, count = text.splitlines()
    assert head.startswith("┌")
    assert footer.startswith("└")
    assert count == "12,000 rows"
    assert [cell.strip() for cell in rows[0].strip("│").split("│")] == [
        *(f"a_long_name_of_column_{n}" for n in range(40)),
        "long",
    ]
    for i, row in enumerate(rows[3:]):
        assert [cell.strip() for cell in row.strip("│").split("│")] == [str(i)] * 40 + ["y" * 3000]
    assert len(rows) == 3 + 12_000


def test_a_cell_of_a_table_stays_on_its_line(root: Path) -> None:
    text = prints("query", root, "SELECT E'a\nb' AS \"c\", NULL AS d, '字' AS e", "--format", "table")
    assert "│ a\\nb" in text
    assert "NULL" in text
    assert len({cell_len(line) for line in text.splitlines()[:-1]}) == 1


def in_terminal(*commands: Sequence[object], columns: int = 80) -> list[str]:
    """What `naswot-ray` shows on a terminal for each of these commands, which must succeed. One process runs them all."""
    mine, its = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns)}
    with subprocess.Popen(in_turn(commands), stdout=its, stderr=subprocess.PIPE, env=environment) as process:
        os.close(its)
        shown = bytearray()
        with contextlib.suppress(OSError):  # reading the terminal ends with EIO
            while chunk := os.read(mine, 65536):
                shown += chunk
        os.close(mine)
        assert process.stderr is not None
        assert process.stderr.read() == b"\0" * len(commands)
    assert process.returncode == 0
    *each, rest = shown.decode().replace("\r\n", "\n").split("\0")
    assert (len(each), rest) == (len(commands), "")
    return each


def test_a_terminal_says_what_it_does_not_show(root: Path) -> None:
    how = "shown; for all: -o FILE.csv (or .parquet, .txt), or `| less`\n"
    queries = [ALL, "FROM scores", "SELECT *, i AS j FROM scores, range(3) t(i)", "SELECT 1 AS a"]
    commands = [("query", root, sql) for sql in queries]
    long, wide, both, small, data = in_terminal(*commands, ("query", root, ALL, "--format", "csv"))
    assert long.endswith(f"40 of 25,000 rows {how}")
    assert re.search(rf"\n(\d) of 20 columns {re.escape(how)}$", wide)
    assert re.search(rf"\n40 of 96 rows and (\d) of 22 columns {re.escape(how)}$", both)
    assert "│     1 │" in small
    assert "shown" not in small
    assert data.count("\n") == 25_001


def test_no_escape_sequence_reaches_a_terminal(root: Path) -> None:
    sql = "SELECT 'a' || chr(27) || '[2J' || chr(8238) || chr(13) || 'b' AS c"
    commands = [("query", root, sql, "--format", format_) for format_ in ("table", "csv", "tsv")]
    for command, shown in zip(commands, in_terminal(*commands), strict=True):
        assert re.search(r"a\\(x1b|e)\[2J\\u202e\\rb", shown), command  # DuckDB itself writes \e
        piped = prints(*command)
        assert ("\x1b[2J" in piped) is ("table" not in command), "data for programs is left as it is"


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".txt", ".CSV", ".Tsv.GZ"])
def test_the_suffix_decides(root: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"all.v2{suffix}"
    assert prints("query", root, ALL, "-o", out) == ""
    low = suffix.lower()
    if low == ".parquet":
        found = [(row["i"], row["name"]) for row in pq.read_table(out).to_pylist()]
    elif low == ".txt":
        lines = [line.strip("│").split("│") for line in out.read_text().splitlines() if line.startswith("│")]
        found = [(int(i), name.strip()) for i, name in lines[2:]]
    else:
        data = out.read_bytes()
        text = (gzip.decompress(data) if low.endswith(".gz") else data).decode()
        header, *rows = csv.reader(io.StringIO(text), delimiter="\t" if ".tsv" in low else ",")
        assert header == ["i", "name"]
        found = [(int(i), name) for i, name in rows]
    assert found == [(i, f"x{i}") for i in range(25_000)]


KNOWN = ".csv, .csv.gz, .tsv, .tsv.gz, .parquet, .txt"


@pytest.mark.parametrize("name", ["all.xlsx", "all.json", "all.gz", "all.parquet.gz", "all", "all.csv.bak", "all.v2"])
def test_an_unknown_suffix(root: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    assert refuses(tmp_path, "query", root, BEST, "-o", out) == f"error: --output {out}: expected a name that ends with {KNOWN}"
    if "." in name:
        assert KNOWN in refuses(tmp_path, "query", root, BEST, "-o", out, "--format", "csv")


@pytest.mark.parametrize(
    ("name", "format_"), [("a.csv", "parquet"), ("a.csv", "tsv"), ("a.parquet", "csv"), ("a.txt", "csv"), ("a.tsv.gz", "table")]
)
def test_a_format_that_contradicts_the_suffix(root: Path, tmp_path: Path, name: str, format_: str) -> None:
    message = refuses(tmp_path, "query", root, BEST, "-o", tmp_path / name, "--format", format_)
    assert f"--format {format_} contradicts it" in message
    assert prints("query", root, BEST, "-o", tmp_path / "a.csv", "--format", "csv") == ""


VALUES = """
    SELECT [1, NULL] AS a_list, {'x': 'a,b', 'y': [2.5]} AS a_struct, MAP {'k': 1} AS a_map, array_value(1, 2) AS an_array,
        INTERVAL 1 DAY AS an_interval, '2020-01-02 03:04:05+00'::TIMESTAMPTZ AS a_time, '1.50'::DECIMAL(5, 2) AS a_decimal,
        12345678901234567890123::HUGEINT AS huge, [sum(batch_size)] AS sums, 'b'::ENUM('a', 'b') AS an_enum,
        '00000000-0000-0000-0000-00000000000f'::UUID AS a_uuid, '\\xAA\\x00'::BLOB AS a_blob, NULL AS nothing, '' AS empty,
        'nan'::DOUBLE AS no_number, 'inf'::FLOAT AS large, '-inf'::DOUBLE AS small FROM scores
"""


def test_values_in_csv(root: Path) -> None:
    text = prints("query", root, VALUES)
    (row,) = csv.DictReader(io.StringIO(text))
    assert datetime.fromisoformat(row.pop("a_time")) == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert row == {
        "a_list": "[1, NULL]",
        "a_struct": "{'x': 'a,b', 'y': [2.5]}",
        "a_map": "{k=1}",
        "an_array": "[1, 2]",
        "an_interval": "1 day",
        "a_decimal": "1.50",
        "huge": "12345678901234567890123",
        "sums": "[192]",
        "an_enum": "b",
        "a_uuid": "00000000-0000-0000-0000-00000000000f",
        "a_blob": "\\xAA\\x00",
        "nothing": "",
        "empty": "",
        "no_number": "nan",
        "large": "inf",
        "small": "-inf",
    }
    assert ',,"",nan,' in text  # a null differs from an empty text


def test_values_in_parquet(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.parquet"
    prints("query", root, VALUES, "-o", out)
    with duckdb.connect() as connection:
        assert connection.sql(f"SELECT an_interval FROM read_parquet('{out}')").fetchall() == [(timedelta(days=1),)]
    (row,) = pq.read_table(out).to_pylist()
    assert math.isnan(row.pop("no_number"))
    del row["an_interval"]  # pyarrow cannot read intervals from Parquet
    assert row == {
        "a_list": [1, None],
        "a_struct": {"x": "a,b", "y": [Decimal("2.5")]},
        "a_map": [("k", 1)],
        "an_array": [1, 2],
        "a_time": datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
        "a_decimal": Decimal("1.50"),
        "huge": Decimal(12345678901234567890123),
        "sums": [Decimal(192)],
        "an_enum": "b",
        "a_uuid": UUID(int=15),
        "a_blob": b"\xaa\x00",
        "nothing": None,
        "empty": "",
        "large": math.inf,
        "small": -math.inf,
    }


def test_arrays_that_are_null_in_parquet(root: Path, tmp_path: Path) -> None:
    prints("query", root, "SELECT NULL::INT[2] AS a UNION ALL SELECT array_value(1, 2)", "-o", tmp_path / "a.parquet")
    assert pq.read_table(tmp_path / "a.parquet")["a"].to_pylist() == [None, [1, 2]]


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("170141183460469231731687303715884105727::HUGEINT", "column v"),
        ("INTERVAL '0.001001 seconds'", "column v: Parquet holds intervals to the millisecond; cast it to VARCHAR"),
        ("INTERVAL '-1 day'", "Parquet files do not support negative intervals"),
    ],
)
def test_a_value_that_parquet_cannot_hold(root: Path, tmp_path: Path, value: str, named: str) -> None:
    assert named in refuses(tmp_path, "query", root, f"SELECT {value} AS v", "-o", tmp_path / "a.parquet")
    prints("query", root, f"SELECT {value} AS v", "-o", tmp_path / "a.csv")


def test_a_null_alone_on_its_line(root: Path) -> None:
    assert prints("query", root, "SELECT NULL::INT AS a UNION ALL SELECT 1") == 'a\n""\n1\n'


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_result_without_rows_in_a_file(root: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"a{suffix}"
    prints("query", root, "SELECT arch_id, naswot FROM scores WHERE seed = 99", "-o", out)
    if suffix == ".csv":
        assert out.read_text() == "arch_id,naswot\n"
    else:
        assert (pq.read_table(out).column_names, pq.read_table(out).num_rows) == (["arch_id", "naswot"], 0)


@pytest.mark.parametrize("table", ["scores", "architectures", "accuracies", "joined"])
def test_every_view_is_there(root: Path, table: str) -> None:
    count = prints("query", root, f"SELECT count(*) AS n FROM {table}", "--format", "csv")
    assert count.split() == ["n", {"scores": "32", "architectures": "8"}.get(table, "0")]


PROGRAM = f"{sys.executable} -c 'from naswot_ray.cli import main; main()'"


def test_a_reader_that_leaves_early(root: Path) -> None:
    line = f"{PROGRAM} query {root} 'FROM range(1000000)' --format csv | head -1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout == "range\n"
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("format_", ["csv", "table"])
def test_an_output_that_is_full(root: Path, format_: str) -> None:
    line = f"{PROGRAM} query {root} 'FROM range(100000)' --format {format_} > /dev/full"
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
