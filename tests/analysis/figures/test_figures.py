"""Figures say what they show, and their bytes are the same every time."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.figure import Figure
from PIL import Image

from naswot_ray.analysis.columns import Column, Points, Values
from naswot_ray.analysis.figures.batch_sizes import draw_batch_sizes
from naswot_ray.analysis.figures.kernels import RANKS, Panel, choose_architectures, draw_kernels
from naswot_ray.analysis.figures.scatter import MAX_DOTS, draw_scatter
from naswot_ray.analysis.figures.style import render


def column(kind: Any, values: Values, **facts: Any) -> Column:
    return Column(kind, "name", "label of " + kind, values, "", **facts)


def make_points(num_points: int = 40, num_singular: int = 1) -> Points:
    """Accuracies that grow with the score, except for the last point."""
    score = np.arange(num_points, dtype=float)
    accuracy = 50 + score / num_points
    accuracy[-1] = 0
    score[:num_singular] = -math.inf
    columns = {
        "naswot_4": column("measure", score, measure="naswot", batch_size=4, num_seeds=2),
        "params": column("baseline", score * 1000),
        "accuracy": column("accuracy", accuracy, dataset="cifar10", split="test", epochs=200),
    }
    return Points("a_space", "noise", [f"arch {i}" for i in range(num_points)], [None] * num_points, columns)


def scatter(points: Points) -> Figure:
    return draw_scatter(points, points.columns["naswot_4"], points.columns["accuracy"], points.columns["params"])


def texts(figure: Figure) -> str:
    axes = figure.axes[0]
    titles = [axes.get_title(loc=loc) for loc in ("left", "center")]
    return "\n".join([*titles, axes.get_xlabel(), axes.get_ylabel(), *(text.get_text() for text in axes.texts)])


def test_a_scatter_tells_tau_count_batch_size_and_seeds() -> None:
    figure = scatter(make_points())
    tau = (40 * 39 / 2 - 2 * 39) / (40 * 39 / 2)
    for words in (
        f"a_space: Kendall τ = {tau:.3f}",
        "40 architectures",
        "batch size 4",
        "2 seeds",
        "1 singular",
        "label of measure",
    ):
        assert words in texts(figure)
    (dots,) = [c for c in figure.axes[0].collections if isinstance(c, PathCollection)]
    assert len(np.asarray(dots.get_offsets())) == 39
    assert figure.axes[1].get_ylabel() == "label of baseline"


def test_a_scatter_counts_architectures_without_a_value() -> None:
    points = make_points()
    points.columns["naswot_4"].values[5:8] = math.nan
    assert "37 architectures" in texts(scatter(points))
    assert "3 without a value" in texts(scatter(points))


def test_many_architectures_become_a_density() -> None:
    figure = scatter(make_points(MAX_DOTS + 10))
    assert any(isinstance(c, PolyCollection) for c in figure.axes[0].collections)
    assert figure.axes[1].get_ylabel() == "Architectures per hexagon"
    assert f"{MAX_DOTS + 10:,} architectures" in texts(figure)


def test_a_column_without_values_colours_nothing() -> None:
    points = make_points()
    points.columns["params"].values[:] = math.nan
    assert len(scatter(points).axes) == 1


def test_one_line_per_dataset_with_a_mark_per_seed() -> None:
    points = make_points()
    score = points.columns["naswot_4"].values
    figure = draw_batch_sizes(points, "naswot", {4: {0: score, 1: -score}, 8: {0: score}})
    lines = {np.size(line.get_xdata()): line for line in figure.axes[0].lines if line.get_marker() == "o"}
    tau = 1 - 2 * 39 / (40 * 39 / 2)
    np.testing.assert_allclose(np.asarray(lines[2].get_ydata()), [0, tau], atol=1e-9)
    assert "(2 at 4, 1 at 8)" in texts(figure)
    assert figure.axes[0].get_legend() is not None


def test_taus_of_fewer_architectures_are_in_no_mean_and_batch_sizes_say_how_many_they_have() -> None:
    points = make_points()
    score = points.columns["naswot_4"].values
    few, some = score.copy(), -score
    few[5:] = math.nan
    some[30:] = math.nan
    figure = draw_batch_sizes(points, "naswot", {4: {0: score, 1: few}, 8: {0: some, 1: some}})
    (line,) = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    tau = 1 - 2 * 39 / (40 * 39 / 2)
    assert np.asarray(line.get_ydata())[0] == pytest.approx(tau)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["4\n40", "8\n30"]
    assert "Batch size (images); below it the architectures" in texts(figure)
    assert "30 to 40 architectures" in texts(figure)
    assert "seeds with fewer architectures left out" in texts(figure)
    assert "mean over seeds" in texts(figure)
    assert "a_space: rank correlation of naswot by batch size" in texts(figure)


def test_kernels_of_low_middle_and_high_accuracy() -> None:
    points = make_points(101)
    chosen = choose_architectures(points, points.columns["accuracy"])
    assert [len(of_group) for of_group in chosen.values()] == [3, 3, 3]
    assert chosen["high accuracy"][-1] == ("arch 99", 50 + 99 / 101)
    assert chosen["low accuracy"][0] == ("arch 2", 50 + 2 / 101)
    kernel = np.array([[10, 4, 5], [4, 10, 6], [5, 6, 10]])
    panels = {
        group: [Panel(kernel, -math.inf if i == 0 else 12.34, p) for i, (_, p) in enumerate(of)] for group, of in chosen.items()
    }
    figure = draw_kernels(panels, "title", "note")
    images = [axes.images[0] for axes in figure.axes[:9]]
    assert [axes.get_title() for axes in figure.axes[:3]] == list(RANKS)
    np.testing.assert_allclose(np.asarray(images[0].get_array()), kernel / 10)
    assert {image.get_clim() for image in images} == {(0.4, 0.6)}
    assert figure.axes[0].get_xlabel().endswith("naswot -∞ (singular)")
    assert figure.axes[3].get_xlabel().endswith("naswot 12.3")


def test_files_are_the_same_every_time() -> None:
    first, second = render(scatter(make_points())), render(scatter(make_points()))
    assert first == second
    assert b"<dc:date>" not in first[".svg"]
    with Image.open(io.BytesIO(first[".png"])) as image:
        assert image.width == round(7.2 * 160)


def test_the_axes_leave_out_the_lowest_and_say_how_many() -> None:
    points = make_points(200, num_singular=0)
    points.columns["accuracy"].values[:2] = -1000
    figure = scatter(points)
    assert figure.axes[0].get_ylim()[0] > -1000
    assert "3 below the axes" in texts(figure)
