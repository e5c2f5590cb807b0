"""The page: whole, safe, and with the data it should have."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naswot_ray.analysis.columns import Column, Points, load_points
from naswot_ray.dataset.join import join
from naswot_ray.dataset.opening import Dataset
from naswot_ray.report import plots
from naswot_ray.report.cells import pack_cell
from naswot_ray.report.contents import GridCount
from naswot_ray.report.page import make_page, script_json
from naswot_ray.report.plots import plot_of
from naswot_ray.report.rounding import rounded
from tests.dataset.making import add, arch_id, make_dataset, mean_accuracy
from tests.report.pages import make_joined

GRID = [GridCount("nasbench201", "noise", 4, 0, wanted=8, present=8, failed=0)]


class Parser(HTMLParser):
    """Collects the scripts of a page and every attribute that a browser would load something for."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.loaded: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append("")
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "poster")]

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] += data


def parse(page: str) -> Parser:
    parser = Parser()
    parser.feed(page)
    return parser


def data_of(page: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(parse(page).scripts[0])
    return data


def test_a_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    page = make_page(make_joined(tmp_path / "d"), GRID)
    parsed = parse(page)
    assert len(parsed.scripts) == 3
    assert all(address.startswith(("#", "data:")) for address in parsed.loaded)
    assert "default-src 'none'" in page
    assert "@@" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert page == make_page(make_joined(tmp_path / "again" / "d"), GRID).replace(str(tmp_path / "again"), str(tmp_path))


def test_the_data_of_a_page(tmp_path: Path) -> None:
    data = data_of(make_page(make_joined(tmp_path / "d"), GRID))
    assert data["name"] == "d"
    (contents,) = data["contents"]
    assert (contents["rows"], contents["singular"], contents["batch_sizes"], contents["seeds"]) == (160, 4, [4, 8], [0, 1])
    assert data["grid"][0]["wanted"] == 8
    assert [row["batch_size"] for row in data["correlations"]] == [4, 8]
    (plot,) = data["plots"]
    assert plot["arch_ids"] == [arch_id(i) for i in range(40)]
    columns = {column["key"]: column for column in plot["columns"]}
    assert columns["score_4"]["values"][:2] == ["-inf", 101.25]
    assert columns["cifar10_test_200"]["values"][3] == 87
    assert plot["start"] == {"x": "score_8", "y": "cifar10_test_200", "colour": "params"}


def test_without_accuracies_scores_are_shown_against_params(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    data = data_of(make_page(dataset, GRID))
    (plot,) = data["plots"]
    assert plot["start"] == {"x": "score_4", "y": "params", "colour": "score_4"}
    assert data["correlations"] == []
    with dataset.connect() as connection:
        rows = connection.sql(f"SELECT count(*), max(params) FROM {plot['from']} WHERE batch_size = 4").fetchall()
    assert rows == [(8, 70)]


def test_accuracies_that_are_not_joined_yet_are_shown(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    add(dataset, [mean_accuracy(i) for i in range(4)])
    (plot,) = data_of(make_page(dataset, GRID))["plots"]
    (column,) = [column for column in plot["columns"] if column["kind"] == "accuracy"]
    with dataset.connect() as connection:
        rows = connection.sql(f"SELECT arch_id, {column['sql']} FROM {plot['from']} GROUP BY ALL").fetchall()
        assert dict(rows) == dict(zip(plot["arch_ids"], column["values"], strict=True))
        join(dataset, "nasbench201")
        joined = plot_of(dataset, load_points(dataset, "nasbench201", "noise"))["from"]
        rows = connection.sql(f"SELECT arch_id, {column['sql']} FROM {joined} GROUP BY ALL").fetchall()
    assert len(rows) == 4


def test_an_empty_dataset_has_a_page(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", indices=[])
    assert data_of(make_page(dataset, []))["plots"] == []


@given(st.text() | st.sampled_from(["</script><script>alert(1)</script>", "<!--<script>", "\u2028", "]]>"]))
def test_no_text_leaves_its_script(text: str) -> None:
    embedded = script_json({"arch": text})
    assert json.loads(embedded) == {"arch": text}
    assert "<" not in embedded


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(1.23456, 3, "1.235"), (2.0, 3, "2"), (float("nan"), 3, "null"), (float("-inf"), 3, '"-inf"'), (1e6, 0, "1000000")],
)
def test_numbers_keep_the_digits_that_matter(value: float, digits: int, text: str) -> None:
    assert json.dumps(rounded(value, digits)) == text


def test_a_packed_cell_tells_labels_and_edges() -> None:
    matrix = [[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    cell = {"matrix": matrix, "ops": ["input", "maxpool3x3", "conv3x3-bn-relu", "output"]}
    assert pack_cell(json.dumps(cell)) == f"20:{0b100111:x}"
    assert pack_cell(None) is None


def large_points(num_points: int) -> Points:
    values = np.random.default_rng(0).permutation(num_points).astype(float)
    columns = {
        "score_4": Column("score", "n", "l", values, "", batch_size=4, num_seeds=1),
        "params": Column("baseline", "n", "l", values * 2 + 5, ""),
    }
    return Points("nats_sss", "noise", [f"arch {i}" for i in range(num_points)], [None] * num_points, columns)


def test_a_large_space_is_sampled_with_its_best_and_a_density_of_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plots, "MAX_POINTS", 150)
    points = large_points(1000)
    plot = plot_of(make_dataset(tmp_path / "d", indices=[0]), points)
    assert len(plot["arch_ids"]) == 150
    assert plot["num_architectures"] == 1000
    score = plot["columns"][0]["values"]
    assert set(range(900, 1000)) <= set(score)
    assert plot["arch_ids"] == sorted(plot["arch_ids"], key=points.arch_ids.index)
    (density,) = plot["densities"]
    assert (density["x"], density["y"]) == ("score_4", "params")
    assert (density["tau"], density["n"]) == (1, 1000)
    counts = np.reshape(density["counts"], (plots.NUM_BINS, plots.NUM_BINS))
    assert counts.sum() == 990
    assert np.count_nonzero(counts - np.diag(np.diag(counts))) == 0
    assert plot == plot_of(Dataset(tmp_path / "d"), points)
