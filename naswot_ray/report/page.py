"""The page itself: template, style, program, plotly's JavaScript and the data, put together into one HTML file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Final

from plotly.offline import get_plotlyjs

from naswot_ray.analysis.columns import list_points, load_points
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.grid.holdings import Holding
from naswot_ray.report.contents import GridCount, describe
from naswot_ray.report.plots import plot_of

PLOTS_AT_MOST: Final = 40
"""Spaces times image sources that a page holds; all 34 families of NDS fit."""


def make_page(dataset: Dataset, grid: Iterable[GridCount], holdings: Iterable[Holding], measure: str | None = None) -> str:
    """The report of a dataset as one HTML page that needs no network.

    Args:
        dataset: what to report on.
        grid: how much of what runs were asked for is there.
        holdings: what it holds of each measure.
        measure: what the page starts with; None for `naswot`, or the first that has values.

    Raises:
        DatasetError: a file is damaged.
    """
    plots = [plot_of(dataset, load_points(dataset, *key), measure) for key in list_points(dataset)[:PLOTS_AT_MOST]]
    return fill({**describe(dataset, grid, holdings), "plots": plots})


def fill(data: dict[str, Any]) -> str:
    """The template with everything in its place.

    Its content security policy lets no other scripts run, and nothing load.
    """
    scripts = {"plotly": get_plotlyjs(), "program": _read("report.js"), "data": script_json(data)}
    allowed = " ".join(f"'sha256-{_sha256(scripts[name])}'" for name in ("plotly", "program"))
    page = _read("report.html")
    for name, text in {"csp-scripts": allowed, "style": _read("report.css"), **scripts}.items():
        head, mark, tail = page.partition(f"@@{name}@@")
        assert mark, name
        page = head + text + tail
    return page


def script_json(data: object) -> str:
    """JSON that is safe inside a <script> element: no tag or comment can begin in it.

    Raises:
        ValueError: a number that is not finite.
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
