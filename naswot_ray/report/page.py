"""Puts template, style, program, plotly's JavaScript and the data together into one HTML page."""

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
"""The most pairs of a space and an image source that a page holds. All 34 families of NDS fit."""


def make_page(dataset: Dataset, grid: Iterable[GridCount], holdings: Iterable[Holding], measure: str | None = None) -> str:
    """Make the report of a dataset: one HTML page that needs no network.

    Args:
        dataset: the dataset to report on.
        grid: the coverage of its grid.
        holdings: how many values of each measure it holds.
        measure: the measure that the page shows first; None for `naswot` or, if that has no values, the first that has some.

    Raises:
        DatasetError: a file is damaged.
    """
    plots = [plot_of(dataset, load_points(dataset, *key), measure) for key in list_points(dataset)[:PLOTS_AT_MOST]]
    return fill({**describe(dataset, grid, holdings), "plots": plots})


def fill(data: dict[str, Any]) -> str:
    """Fill in the template.

    The page's content security policy allows no other scripts to run and nothing to be loaded.
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
    """Write JSON that is safe inside a <script> element: no tag or comment can begin in it.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
