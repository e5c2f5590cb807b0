"""The page is complete and safe, and has the right data."""

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

from naswot_ray.analysis.analyse import analyse
from naswot_ray.analysis.columns import Column, Points, load_points
from naswot_ray.dataset import layout
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from naswot_ray.grid.coverage import contents_of
from naswot_ray.report import plots
from naswot_ray.report.cells import pack_cell
from naswot_ray.report.contents import GridCount, describe
from naswot_ray.report.page import make_page, script_json
from naswot_ray.report.plots import plot_of
from naswot_ray.report.rounding import rounded, rounded_apart
from tests.dataset.making import FAILED, Row, add, arch_id, make_dataset, mean_accuracy, score_row, write_part
from tests.report.pages import make_joined

GRID = [GridCount("nasbench201", "noise", 4, 0, wanted=8, present=8, failed=0)]


class Parser(HTMLParser):
    """Collects the scripts of a page, and every attribute for which a browser would load something."""

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
    page = make_page(make_joined(tmp_path / "d"), GRID, [])
    parsed = parse(page)
    assert len(parsed.scripts) == 3
    assert all(address.startswith(("#", "data:")) for address in parsed.loaded)
    assert "default-src 'none'" in page
    assert "@@" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert page == make_page(make_joined(tmp_path / "again" / "d"), GRID, []).replace(str(tmp_path / "again"), str(tmp_path))


def test_the_data_of_a_page(tmp_path: Path) -> None:
    data = data_of(make_page(make_joined(tmp_path / "d"), GRID, []))
    assert data["name"] == "d"
    (contents,) = data["contents"]
    assert (contents["rows"], contents["singular"], contents["batch_sizes"], contents["seeds"]) == (160, 4, [4, 8], [0, 1])
    assert data["grid"][0]["wanted"] == 8
    assert [row["batch_size"] for row in data["correlations"]] == [4, 8]
    (plot,) = data["plots"]
    assert plot["arch_ids"] == [arch_id(i) for i in range(40)]
    columns = {column["key"]: column for column in plot["columns"]}
    assert columns["naswot_4"]["values"][:2] == ["-inf", 101.25]
    assert columns["cifar10_test_200"]["values"][3] == 87
    assert plot["start"] == {"x": "naswot_8", "y": "cifar10_test_200", "colour": "params"}


def test_without_accuracies_a_measure_is_shown_against_params(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    data = data_of(make_page(dataset, GRID, []))
    (plot,) = data["plots"]
    assert plot["start"] == {"x": "naswot_4", "y": "params", "colour": "naswot_4"}
    assert data["correlations"] == []
    with dataset.connect(unsafe=True) as connection:
        rows = connection.sql(f"SELECT count(*), max(params) FROM {plot['from']} WHERE batch_size = 4").fetchall()
    assert rows == [(8, 70)]


def test_accuracies_that_are_not_joined_yet_are_shown(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    add(dataset, [mean_accuracy(i) for i in range(4)])
    (plot,) = data_of(make_page(dataset, GRID, []))["plots"]
    (column,) = [column for column in plot["columns"] if column["kind"] == "accuracy"]
    with dataset.connect(unsafe=True) as connection:
        rows = connection.sql(f"SELECT arch_id, {column['sql']} FROM {plot['from']} GROUP BY ALL").fetchall()
        assert dict(rows) == dict(zip(plot["arch_ids"], column["values"], strict=True))
        join(dataset, "nasbench201")
        joined = plot_of(dataset, load_points(dataset, "nasbench201", "noise"))["from"]
        rows = connection.sql(f"SELECT arch_id, {column['sql']} FROM {joined} GROUP BY ALL").fetchall()
    assert len(rows) == 4


def test_the_page_tells_of_every_measure_and_starts_with_the_one_asked_for(tmp_path: Path) -> None:
    dataset = make_joined(tmp_path / "d")
    data = data_of(make_page(dataset, GRID, contents_of(dataset).holdings, "meco"))
    (plot,) = data["plots"]
    assert plot["start"] == {"x": "meco_8", "y": "cifar10_test_200", "colour": "params"}
    assert list(dict.fromkeys(column["measure"] for column in plot["columns"])) == ["naswot", "naswot_paper", "meco", None]
    assert list(data["predictors"]) == ["naswot", "naswot_paper", "meco", "params", "flops", "num_relus", "num_layers"]
    row = data["correlations"][0]
    assert row["tau"].keys() == data["predictors"].keys()
    assert (row["num_architectures"], row["num_architectures_of"]["meco"]) == (40, 38)
    held = {one["name"]: (one["num_values"], one["num_lacking"]) for one in data["measures"]}
    assert held == {"naswot": (160, 0), "naswot_paper": (160, 0), "meco": (152, 8)} | dict.fromkeys(
        ("expressivity", "naswot_layerwise", "swap"), (0, 160)
    )
    assert all(one["formula"] for one in data["measures"])


def test_a_plot_without_the_measure_asked_for_starts_with_another(tmp_path: Path) -> None:
    (plot,) = data_of(make_page(make_dataset(tmp_path / "d"), GRID, [], "swap"))["plots"]
    assert plot["start"]["x"] == "naswot_4"


def test_an_empty_dataset_has_a_page(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", indices=[])
    assert data_of(make_page(dataset, [], []))["plots"] == []


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


def test_rounded_numbers_keep_ties_and_order_and_what_is_shown() -> None:
    values = np.array([435.4401, 435.4404, 435.4404, 1.0, -np.inf, np.nan, 435.4394999, 2 / 3, 93.125])
    short = rounded_apart(values, 3)
    assert short[4:6] == ["-inf", None]
    kept = np.array([number for number in short if isinstance(number, float | int)])
    exact = values[np.isfinite(values)]
    np.testing.assert_array_equal(np.sign(kept[:, None] - kept), np.sign(exact[:, None] - exact))
    assert [f"{value:.3f}" for value in kept] == [f"{value:.3f}" for value in exact]
    assert short[3] == 1
    assert rounded_apart(np.array([1 / 3, 2 / 3]), 3) == [0.333, 0.667], "no more digits than are needed"
    close = np.array([1.0, np.nextafter(1.0, 2), 1 / 3])
    assert rounded_apart(close, 3) == close.tolist()


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=30))
def test_no_order_is_lost_to_rounding(numbers: list[float]) -> None:
    values = np.array(numbers)
    short = np.array([0.0 if number is None else float(number) for number in rounded_apart(values, 2)])
    np.testing.assert_array_equal(np.sign(short[:, None] - short), np.sign(values[:, None] - values))


def test_the_page_has_the_exact_tau_of_every_two_columns(tmp_path: Path) -> None:
    """The scores differ only in the fourth decimal. If they were rounded to three, tau would change."""
    dataset = make_dataset(
        tmp_path / "d",
        indices=range(40),
        seeds=(0, 1, 2),
        change=lambda row: {"naswot": 100.0 + (row["arch_index"] * 7 % 40) * 3e-4 + row["seed"] / 3},
    )
    add(dataset, [mean_accuracy(i, accuracy=80.0 + (i * 11 % 40) * 1e-4) for i in range(40)])
    join(dataset, "nasbench201")
    data = data_of(make_page(dataset, GRID, []))
    (plot,) = data["plots"]
    (found,) = [tau for tau in plot["taus"] if (tau["x"], tau["y"]) == ("naswot_4", "cifar10_test_200")]
    (correlation,) = data["correlations"]
    (analysed,) = [
        row["value"]
        for row in analyse(dataset).rows.to_pylist()
        if (row["predictor"], row["metric"], row["given"], row["seed"]) == ("naswot", "tau", None, None)
    ]
    assert found["tau"] == correlation["tau"]["naswot"] == analysed
    assert (found["n"], found["num_singular"]) == (40, 0)
    keys = [column["key"] for column in plot["columns"]]
    assert len(plot["taus"]) == len(keys) * (len(keys) + 1) / 2
    values = {column["key"]: column["values"] for column in plot["columns"]}
    points = load_points(dataset, "nasbench201", "noise")
    for key in keys:
        np.testing.assert_array_equal(
            np.argsort(values[key], kind="stable"), np.argsort(points.columns[key].values, kind="stable")
        )


def test_architectures_without_a_score_for_every_seed_are_in_no_tau(tmp_path: Path) -> None:
    def change(row: Row) -> Row:
        return FAILED if row["seed"] == 1 and row["arch_index"] > 4 else {"naswot": 100.0 + row["arch_index"] % 5}

    dataset = make_dataset(tmp_path / "d", seeds=(0, 1), change=change)
    add(dataset, [mean_accuracy(i) for i in range(8)])
    join(dataset, "nasbench201")
    data = data_of(make_page(dataset, GRID, []))
    (plot,) = data["plots"]
    (found,) = [tau for tau in plot["taus"] if (tau["x"], tau["y"]) == ("naswot_4", "cifar10_test_200")]
    assert (found["tau"], found["n"]) == (data["correlations"][0]["tau"]["naswot"], 5) == (-1, 5)
    assert data["correlations"][0]["num_architectures"] == 5
    (score,) = [column for column in plot["columns"] if column["measure"] == "naswot"]
    with dataset.connect(unsafe=True) as connection:
        rows = connection.sql(f"SELECT arch_id, {score['sql']} FROM {plot['from']} GROUP BY ALL").fetchall()
        assert dict(rows) == dict(zip(plot["arch_ids"], score["values"], strict=True))
        query = data["sql"]["correlations"].rstrip(";")
        assert connection.sql(f"SELECT count(*), count(naswot), count(params) FROM ({query})").fetchall() == [(8, 5, 8)]


def test_architectures_of_two_image_sources_are_counted_once(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", indices=range(4))
    path = layout.scores("nasbench201", "cifar10", 4, 0, 0)
    rows = [score_row(i, images="cifar10") for i in (3, 4, 5)]
    write_part(dataset.storage, path, rows, range(8))
    assert describe(dataset, [], [])["num_architectures"] == 6


def test_a_packed_cell_tells_labels_and_edges() -> None:
    matrix = [[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    cell = {"matrix": matrix, "ops": ["input", "maxpool3x3", "conv3x3-bn-relu", "output"]}
    assert pack_cell(json.dumps(cell)) == f"20:{0b100111:x}"
    assert pack_cell(None) is None


def large_points(num_points: int) -> Points:
    values = np.random.default_rng(0).permutation(num_points).astype(float)
    columns = {
        "naswot_4": Column("measure", "n", "l", values, "", measure="naswot", batch_size=4, num_seeds=1),
        "params": Column("baseline", "n", "l", values * 2 + 5, ""),
    }
    return Points("nats_sss", "noise", [f"arch {i}" for i in range(num_points)], [None] * num_points, columns)


def test_a_large_space_is_sampled_with_its_best_and_a_density_of_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plots, "MAX_POINTS", 150)
    points = large_points(1000)
    plot = plot_of(make_dataset(tmp_path / "d", indices=[0]), points)
    assert len(plot["arch_ids"]) == 150
    assert plot["num_architectures"] == 1000
    assert set(range(900, 1000)) <= set(plot["columns"][0]["values"])
    assert plot["arch_ids"] == sorted(plot["arch_ids"], key=points.arch_ids.index)
    (density,) = plot["densities"]
    assert (density["x"], density["y"]) == ("naswot_4", "params")
    assert (density["tau"], density["n"]) == (1, 1000)
    counts = np.reshape(density["counts"], (plots.NUM_BINS, plots.NUM_BINS))
    assert counts.sum() == 990
    assert np.count_nonzero(counts - np.diag(np.diag(counts))) == 0
    assert plot == plot_of(Dataset(tmp_path / "d"), points)
