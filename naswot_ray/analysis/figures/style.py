"""How all figures look, and how they are written: SVG and PNG, the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS: Final = "cividis"
"""Told apart by the colour-blind, and still in order when printed grey."""

SERIES: Final = (
    ("#00204d", "o", "-"),
    ("#b8651b", "s", "--"),
    ("#3a8f8f", "^", "-."),
    ("#8a5a99", "D", ":"),
    ("#555555", "v", "-"),
)
"""Colour, marker and line of each series in turn: any two differ in all three."""

_SETTINGS: Final[dict[Any, Any]] = {
    "svg.hashsalt": "naswot-ray",  # or its ids are random
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same
    "font.size": 10,
    "text.parse_math": False,  # a name with two $ in it is a name
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 22,  # leaves a line for `annotate`
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": "#222222",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "image.cmap": COLOURS,
}


@contextmanager
def styled() -> Iterator[None]:
    """Within it, figures are made in the project's style, whatever the user's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches; it needs no display and no state of pyplot."""
    return Figure(figsize=(width, height), layout="constrained")


def render(figure: Figure) -> dict[str, bytes]:
    """A figure as files: suffix -> content, without a date."""
    files = {}
    with styled():
        for suffix, metadata in {".svg": {"Date": None, "Creator": "naswot-ray"}, ".png": {"Software": "naswot-ray"}}.items():
            sink = io.BytesIO()
            figure.savefig(sink, format=suffix[1:], metadata=metadata)
            files[suffix] = sink.getvalue()
    return files


def annotate(axes: Axes, facts: Sequence[str]) -> None:
    """What a plot is of, in small print between its title and the plot."""
    text = axes.text(0, 1.015, " · ".join(facts), transform=axes.transAxes, fontsize=8, color="#555555", va="bottom")
    text.set_in_layout(False)  # a long line must not squeeze the plot
