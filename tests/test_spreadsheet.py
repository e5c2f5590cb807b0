"""No cell of a CSV file is a formula, and no number changes."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow.csv as pacsv
import pytest

from naswot_ray.dataset.join import join
from naswot_ray.spreadsheet import guarded
from tests.cli.running import prints
from tests.dataset.making import SPACE, add, arch_id, make_dataset, mean_accuracy

FORMULAS = ["=cmd|'/c calc'!A0", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "--1", "=1", "-1e", "-"]
TEXTS = ["", "-1.5", "+2", "-.5e-3", "-inf", "+NaN", arch_id(0), "64:8:8", "a=b", "'x", " =1", "1-2"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert guarded(text) == f"'{text}"


@pytest.mark.parametrize("text", TEXTS)
def test_other_texts_are_left_alone(text: str) -> None:
    assert guarded(text) == text


def test_duckdb_guards_the_same_texts(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "d", indices=range(1)).storage.root
    values = ", ".join("('{}', {})".format(text.replace("'", "''"), i) for i, text in enumerate([*FORMULAS, *TEXTS]))
    sql = f"SELECT text, -1.5 AS number, text::BLOB AS b FROM (VALUES {values}) t(text, i) ORDER BY i"
    prints("query", root, sql, "-o", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["text", "number", "b"]
    assert [row[0] for row in rows] == [guarded(text) for text in [*FORMULAS, *TEXTS]]
    assert {row[1] for row in rows} == {"-1.5"}
    assert [row[2] for row in rows if row[2].startswith("'=")] == ["'=cmd|\\x27/c calc\\x27!A0", "'=1"]


def test_a_header_made_of_data_is_guarded(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "d", indices=range(1)).storage.root
    text = prints("query", root, "PIVOT (SELECT '=cmd|x' AS a, 1 AS b) ON a USING sum(b)")
    assert text == "'=cmd|x\n1\n"
    assert prints("query", root, "SELECT '=x' AS a", "--format", "tsv") == "a\n'=x\n"
    assert "│ =x" in prints("query", root, "SELECT '=x' AS a", "--format", "table")


def test_the_list_of_unmatched_architectures_is_guarded(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", indices=range(1))
    add(dataset, [mean_accuracy(0), mean_accuracy(0, arch_id="=cmd|x")])
    report = join(dataset, SPACE)
    assert pacsv.read_csv(report.unmatched_path)["arch_id"].to_pylist() == ["'=cmd|x"]
