"""The report in a real browser: headless Chromium opens the file, without a network."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from naswot_ray.analysis.columns import load_points, rank_correlation
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.grid.coverage import contents_of
from naswot_ray.report.cells import pack_cell
from naswot_ray.report.contents import GridCount, describe
from naswot_ray.report.page import fill, make_page
from naswot_ray.report.plots import plot_of
from tests.dataset.making import SINGULAR, SPACE, add, arch_id, make_dataset, mean_accuracy
from tests.report.pages import make_joined

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

HOSTILE = '</script><img src=x onerror="document.title=1"><b>arch</b>'
CELL_101 = {
    "matrix": [[0, 1, 1, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]],
    "ops": ["input", "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3", "output"],
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_joined(tmp_path_factory.mktemp("report") / "scores")


@pytest.fixture(scope="module")
def path(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of NAS-Bench-201, of the same points as if they were NAS-Bench-101's, and of a space with hostile names."""
    plot = plot_of(dataset, load_points(dataset, SPACE, "noise"))
    as_101, hostile = copy.deepcopy(plot), copy.deepcopy(plot)
    num = len(plot["arch_ids"])
    as_101 |= {"space": "nasbench101", "num_architectures": 1000, "cells": [pack_cell(json.dumps(CELL_101))] * num}
    as_101["densities"] = [
        {
            "x": "naswot_8",
            "y": "cifar10_test_200",
            "tau": -0.25,
            "n": 1000,
            "x_range": [100, 115],
            "y_range": [50, 90],
            "counts": [0, 1, 20, 300],
        }
    ]
    hostile |= {"space": "a_space", "arch_ids": [f"{HOSTILE}{i}" for i in range(num)]}
    grid = [
        GridCount(SPACE, "noise", 4, 0, wanted=40, present=40, failed=0),
        GridCount(SPACE, "noise", 4, 1, wanted=40, present=30, failed=2),
    ]
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(
        fill({**describe(dataset, grid, contents_of(dataset).holdings), "plots": [plot, as_101, hostile]}), encoding="utf-8"
    )
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--enable-unsafe-swiftshader"])
        yield browser
        browser.close()


_PLACE = """(index) => {
    const plot = document.querySelector("#scatter");
    const {xaxis, yaxis} = plot._fullLayout;
    const points = plot.data.find((trace) => trace.text);
    const {left, top} = plot.getBoundingClientRect();
    return [left + xaxis._offset + xaxis.l2p(points.x[index]), top + yaxis._offset + yaxis.l2p(points.y[index])];
}"""
_PLOTTED = """() => {
    const points = document.querySelector("#scatter").data.find((trace) => trace.text);
    return [points.x[5], points.y[5], points.marker.color[5]];
}"""


class Tab:
    """The report in a tab, with what the browser complained about and what it requested."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page = browser.new_context(reduced_motion="reduce", **options).new_page()
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_function("document.querySelector('#scatter')._fullLayout !== undefined")

    def text(self, selector: str) -> str:
        text: str = self.page.locator(selector).first.inner_text()
        return text

    def choose(self, control: str, value: str) -> None:
        self.page.select_option(f"#{control}-select", value)

    def place_of(self, index: int) -> tuple[float, float]:
        """Where on the screen a point is drawn."""
        self.page.locator("#scatter").scroll_into_view_if_needed()
        x, y = self.page.evaluate(_PLACE, index)
        return x, y

    def background(self) -> list[int]:
        colour: str = self.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return [int(part) for part in colour.strip("rgb()").split(",")]


@pytest.fixture(scope="module")
def opened(browser: Any, path: Path) -> Tab:
    return Tab(browser, path, viewport={"width": 1280, "height": 900})


@pytest.fixture
def tab(opened: Tab) -> Tab:
    """The tab that most tests share, reset to how it was when it was opened."""
    opened.page.locator("#whole-range").uncheck()
    opened.choose("plot", "2")
    opened.choose("plot", "0")
    return opened


def test_the_page_loads_without_errors_and_asks_for_nothing(tab: Tab, path: Path) -> None:
    assert tab.complaints == []
    assert tab.requests == [path.as_uri()]
    assert tab.text("h1") == "scores"
    assert "40" in tab.text("#tiles")
    assert "30 of 40, 2 failed" in tab.text("#coverage-tables")
    assert tab.page.title() == "scores: scores of untrained networks"


def test_the_verdict_is_kendalls_tau_with_ties_and_singular_rows(tab: Tab, dataset: Dataset) -> None:
    points = load_points(dataset, SPACE, "noise")
    tau, count = rank_correlation(points.columns["naswot_8"].values, points.columns["cifar10_test_200"].values)
    assert count == 40
    assert tab.text("#verdict").startswith(f"Kendall τ = {tau:.3f} over 40 architectures, 1 of them singular".replace("-", "−"))
    tab.choose("x", "params")
    tau, _ = rank_correlation(points.columns["params"].values, points.columns["cifar10_test_200"].values)
    assert f"{tau:.3f}".replace("-", "−") in tab.text("#verdict")


def test_one_tau_is_the_same_number_everywhere(tab: Tab, dataset: Dataset) -> None:
    points = load_points(dataset, SPACE, "noise")
    rows = [row.split("\t") for row in tab.page.locator("#correlations-table tbody").inner_text().splitlines()]
    for batch_size, row in zip(("4", "8"), rows, strict=True):
        assert row[2:7] == ["CIFAR-10", "200", batch_size, "2", "40"]
        measures = [f"{name}_{batch_size}" for name in ("naswot", "naswot_paper", "meco")]
        for key, shown in zip((*measures, "params", "flops", "num_relus", "num_layers"), row[7:], strict=True):
            tab.choose("x", key)
            tau, _ = rank_correlation(points.columns[key].values, points.columns["cifar10_test_200"].values)
            assert shown == f"{tau:.3f}" + (" (38 architectures)" if key.startswith("meco") else "")
            assert tab.text("#verdict strong") == f"{tau:.3f}".replace("-", "−")


def test_a_measure_is_chosen_for_the_horizontal_axis(tab: Tab, dataset: Dataset) -> None:
    points = load_points(dataset, SPACE, "noise")
    measure = tab.page.locator("#measure-select")
    assert measure.locator("option").all_text_contents() == ["\u2013", "naswot", "naswot_paper", "meco"]
    assert measure.input_value() == "naswot"
    tab.choose("x", "naswot_4")
    tab.choose("measure", "meco")
    assert tab.page.locator("#x-select").input_value() == "meco_4"
    tau, count = rank_correlation(points.columns["meco_4"].values, points.columns["cifar10_test_200"].values)
    assert count == 38
    assert tab.text("#verdict").startswith(f"Kendall τ = {tau:.3f} over 38 architectures; 2 others lack".replace("-", "−"))
    assert "meco, batch size 4" in tab.text("#table thead")
    tab.choose("x", "params")
    assert measure.input_value() == ""
    tab.choose("measure", "naswot_paper")
    assert tab.page.locator("#x-select").input_value() == "naswot_paper_8"


def test_what_each_measure_is_stands_below(tab: Tab) -> None:
    rows = [row.split("\t") for row in tab.page.locator("#measures-table tbody").inner_text().splitlines()]
    assert [row[:4] for row in rows[:2]] == [["naswot", "1", "160", "0"], ["naswot_paper", "1", "160", "0"]]
    meco = next(row for row in rows if row[0] == "meco")
    assert meco[2:4] == ["152", "8"]
    assert "smallest eigenvalue" in meco[4]


def test_numbers_are_rounded_as_python_rounds_them(tab: Tab) -> None:
    source = files("naswot_ray.report").joinpath("report.js").read_text()
    fixed = source[source.index("function fixed") :].partition("\n}")[0] + "\n}"
    values = [n / 16 for n in range(-40, 40)] + [93.125, 0.6155, 1e-4, 435.4395, 101.0625]
    for digits in (2, 3):
        shown = tab.page.evaluate(f"(values) => {{ {fixed}\n return values.map((value) => fixed(value, {digits})); }}", values)
        assert [float(text) for text in shown] == [float(f"{value:.{digits}f}") for value in values]


def test_a_verdict_tells_how_many_lack_a_number(browser: Any, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", change=lambda row: SINGULAR if row["arch_index"] in (4, 7) else {})
    add(dataset, [mean_accuracy(i) for i in range(5)])
    page = tmp_path / "report.html"
    page.write_text(make_page(dataset, [], []), encoding="utf-8")
    text = Tab(browser, page).text("#verdict")
    assert text.startswith("Kendall τ = −0.200 over 5 architectures, 1 of them singular: ")
    assert text.endswith("; 3 others lack one of the two numbers")


def test_hover_shows_architecture_score_accuracy_and_params(tab: Tab) -> None:
    tab.page.mouse.move(*tab.place_of(7))
    tab.page.wait_for_selector(".hovertext")
    shown = tab.page.locator(".hovertext").first.text_content()
    assert arch_id(7).partition("|+|")[0] in shown
    for words in ("naswot, batch size 8: 103.250", "CIFAR-10 test accuracy (%): 83.00", "Parameters: 70"):
        assert words in shown


def test_colour_and_axes_change_the_plot(tab: Tab) -> None:
    before = tab.page.evaluate(_PLOTTED)
    tab.choose("x", "flops")
    tab.choose("y", "naswot_4")
    tab.choose("colour", "num_layers")
    assert before == [102.25, 65, 50]
    assert tab.page.evaluate(_PLOTTED) == [100, 102.25, 6]
    assert tab.page.locator(".xtitle").text_content() == "FLOPs"
    assert "naswot, batch size 4" in tab.text("#table thead")


def test_a_click_on_a_point_selects_it(tab: Tab) -> None:
    place = tab.place_of(12)
    tab.page.mouse.move(*place)
    tab.page.wait_for_function("(id) => document.querySelector('.hovertext')?.textContent.includes(id)", arg=arch_id(12)[:20])
    tab.page.mouse.click(*place)
    tab.page.wait_for_function("(id) => document.querySelector('#selected-arch').textContent === id", arg=arch_id(12))
    assert "NASWOT" not in tab.text("#selected-values")
    assert "104.750" not in tab.text("#selected-values")
    assert "105.250" in tab.text("#selected-values")


def test_the_table_is_sorted_by_keyboard(tab: Tab) -> None:
    header = tab.page.locator("#table th", has_text="Parameters")
    header.locator("button").focus()
    tab.page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert tab.text("#table tbody td") == arch_id(39)
    tab.page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert tab.text("#table tbody td") == arch_id(0)
    score = tab.page.locator("#table th", has_text="naswot, batch size 8").locator("button")
    score.press("Enter")
    score.press("Enter")
    assert "singular" in tab.text("#table tbody tr"), "singular ranks last"


def test_the_filter_and_more_rows(tab: Tab) -> None:
    assert tab.page.locator("#table tbody tr").count() == 15
    tab.page.locator("#more").press("Enter")
    assert tab.page.locator("#table tbody tr").count() == 30
    tab.page.fill("#filter", arch_id(9).upper())
    assert tab.page.locator("#table tbody tr").count() == 1
    assert tab.text("#table-count") == "1 of 1 architectures"


def test_a_row_chosen_by_keyboard_draws_its_cell(tab: Tab) -> None:
    button = tab.page.locator("#table tbody button").nth(3)
    chosen = button.inner_text()
    button.press("Enter")
    drawing = tab.page.locator("#cell svg")
    edges = [text.split("~") for node in chosen.split("+") for text in node.strip("|").split("|")]
    names = {"nor_conv_3x3": "conv 3×3", "nor_conv_1x1": "conv 1×1", "avg_pool_3x3": "avg pool 3×3", "skip_connect": "skip"}
    labels = drawing.locator("text.halo").all_text_contents()
    assert labels == [names.get(op, op) for op, _ in edges]
    assert drawing.get_attribute("aria-label").startswith("Cell: in to 1 ")
    assert tab.page.locator('#table tr[aria-selected="true"]').inner_text().startswith(chosen)


def test_a_cell_of_nasbench101_is_drawn_with_all_its_edges(tab: Tab) -> None:
    tab.choose("plot", "1")
    drawing = tab.page.locator("#cell svg")
    assert drawing.locator("rect").count() == 5
    names = ["input", "conv 3×3", "conv 1×1", "max pool 3×3", "output"]
    matrix = np.array(CELL_101["matrix"])
    edges = sorted(f"{names[a]} ({a}) to {names[b]} ({b})" for a, b in np.argwhere(matrix))
    assert sorted(drawing.get_attribute("aria-label").removeprefix("Cell: ").split(", ")) == edges
    assert tab.page.evaluate("document.querySelector('#scatter').data[0].z") == [[None, 0], [math.log10(20), math.log10(300)]]
    assert tab.text("#verdict").startswith("Kendall τ = −0.250 over 1,000 architectures")
    assert tab.text("#verdict").endswith("the points are 40 of them, grey is the density of all")


def test_names_are_text_and_never_markup(tab: Tab) -> None:
    tab.choose("plot", "2")
    assert tab.text("#selected-arch").startswith(HOSTILE)
    assert tab.text("#table tbody button").startswith(HOSTILE)
    tab.page.mouse.move(*tab.place_of(7))
    tab.page.wait_for_selector(".hovertext")
    assert HOSTILE in tab.page.locator(".hovertext").first.text_content()
    assert tab.page.locator("img").count() == 0
    assert tab.complaints == []


def test_the_queries_give_what_is_shown(tab: Tab) -> None:
    tab.choose("y", "naswot_4")
    rows = duckdb.execute(tab.text("#table-sql pre")).fetchall()
    shown = [row.split("\t") for row in tab.page.locator("#table tbody").inner_text().splitlines()]
    assert [row[0] for row in rows] == [row[0] for row in shown]
    for row, cells in zip(rows, shown, strict=True):
        assert [float(cell.replace(",", "")) for cell in cells[1:]] == pytest.approx(row[1:], abs=5e-3)
    assert len(duckdb.execute(tab.text("#plot-sql pre")).fetchall()) == 40
    for name in ("correlations", "contents", "grid"):
        assert duckdb.execute(tab.text(f"#{name}-sql pre")).fetchall()


def test_a_query_is_copied(tab: Tab) -> None:
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.page.locator("#table-sql button").press("Enter")
    tab.page.wait_for_function("document.querySelector('#table-sql button').textContent === 'Copied'")
    assert tab.page.evaluate("navigator.clipboard.readText()") == tab.text("#table-sql pre")


def test_on_a_phone_everything_fits_and_the_keyboard_reaches_it(browser: Any, path: Path) -> None:
    tab = Tab(browser, path, viewport={"width": 390, "height": 844})
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.className") == "skip"
    unlabelled = """[...document.querySelectorAll("select, input")].filter((each) => !each.labels.length).length"""
    assert tab.page.evaluate(unlabelled) == 0
    tab.page.locator("#more").focus()
    tab.page.keyboard.press("Shift+Tab")
    assert tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    # This is a phone. On it, nothing may be wider than the screen.
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.page.evaluate("document.querySelector('#scatter').getBoundingClientRect().width") > 300
    assert tab.complaints == []


def test_light_and_dark(browser: Any, path: Path, tab: Tab) -> None:
    dark = Tab(browser, path, color_scheme="dark")
    assert min(tab.background()) > 200
    assert max(dark.background()) < 60
    plot = "document.querySelector('#scatter')._fullLayout.paper_bgcolor"
    assert tab.page.evaluate(plot) != dark.page.evaluate(plot)
    dark.page.emulate_media(color_scheme="light")
    dark.page.wait_for_function(f"{plot} === '{tab.page.evaluate(plot)}'")
    assert dark.complaints == []
