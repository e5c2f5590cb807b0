"""A measure against accuracy: every architecture as a dot, or their density where dots would hide each other."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from naswot_ray.analysis.columns import Column, Points, Values, rank_correlation
from naswot_ray.analysis.figures.style import COLOURS, annotate, new_figure, styled
from naswot_ray.analysis.names import dataset_name

MAX_DOTS: Final = 30_000
"""Of more architectures the density is drawn."""

LEFT_OUT: Final = 0.02
"""The axes leave out this share of the architectures at the low end of each; the figure says how many."""


def draw_scatter(points: Points, measure: Column, accuracy: Column, colour: Column) -> Figure:
    """A measure (x) against accuracy (y), with Kendall's tau over all architectures in the title.

    Singular architectures have no finite value: they count in tau, ranking last, and are counted below.

    Args:
        points: the space.
        measure, accuracy, colour: columns of it; the density of more than `MAX_DOTS` architectures is not coloured by a column.
    """
    tau, count = rank_correlation(measure.values, accuracy.values)
    finite = np.isfinite(measure.values) & np.isfinite(accuracy.values)
    x, y, c = (column.values[finite] for column in (measure, accuracy, colour))
    with styled():
        figure = new_figure(7.2, 5.0)
        axes = figure.add_subplot()
        if len(x) > MAX_DOTS:
            _draw_density(axes, x, y)
        else:
            _draw_dots(axes, x, y, c, colour.label)
        hidden = 0
        if len(x):
            (low_x, high_x), (low_y, high_y) = _range(x), _range(y)
            axes.set(xlim=(low_x, high_x), ylim=(low_y, high_y))
            hidden = int(np.count_nonzero((x < low_x) | (y < low_y)))
        axes.set(xlabel=measure.label, ylabel=accuracy.label)
        seeds = f"{measure.num_seeds} seed{'s' if measure.num_seeds != 1 else ''}"
        axes.set_title(f"{points.space}: Kendall τ = {tau:.3f}" if not math.isnan(tau) else points.space)
        singular = int(np.count_nonzero(np.isneginf(measure.values) & ~np.isnan(accuracy.values)))
        notes = [
            f"{count:,} architectures",
            f"{dataset_name(points.images)} images",
            f"batch size {measure.batch_size}",
            seeds,
        ]
        if singular:
            notes.append(f"{singular:,} singular (rank last)")
        missing = int(np.count_nonzero(np.isnan(measure.values) & ~np.isnan(accuracy.values)))
        if missing:
            notes.append(f"{missing:,} without a value")
        if hidden:
            notes.append(f"{hidden:,} below the axes")
        annotate(axes, notes)
        return figure


def _draw_dots(axes: Axes, x: Values, y: Values, c: Values, label: str) -> None:
    known = c[np.isfinite(c)]
    if not len(known):
        axes.plot(x, y, ".", markersize=3, color="#00204d", rasterized=True)
        return
    norm = Normalize(*np.quantile(known, [0.01, 0.99]))
    size = float(np.clip(40_000 / len(x), 3, 24))
    axes.scatter(x, y, c=c, s=size, cmap=COLOURS, norm=norm, alpha=0.75, linewidths=0, rasterized=True)
    opaque = ScalarMappable(norm, COLOURS)  # a bar of the dots would be as transparent as they are
    bar = axes.figure.colorbar(opaque, ax=axes, label=label, extend="both", pad=0.02, format=EngFormatter(sep=" "))
    bar.outline.set_visible(False)


def _draw_density(axes: Axes, x: Values, y: Values) -> None:
    inside = (x >= _range(x)[0]) & (y >= _range(y)[0])
    cells = axes.hexbin(
        x[inside], y[inside], gridsize=90, cmap=COLOURS, norm=LogNorm(), mincnt=1, linewidths=0.1, rasterized=True
    )
    bar = axes.figure.colorbar(cells, ax=axes, label="Architectures per hexagon", pad=0.02)
    bar.outline.set_visible(False)


def _range(values: Values) -> tuple[float, float]:
    """What an axis shows: all but the share `LEFT_OUT`, and a margin."""
    low, high = float(np.quantile(values, LEFT_OUT)), float(values.max())
    margin = (high - low) * 0.03 or 1.0
    return low - margin, high + margin
