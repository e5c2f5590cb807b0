"""The picture of a search: accuracy of the choice against what was spent."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from naswot_ray.search.results import Contestant

# Okabe and Ito's colours, which the colour-blind tell apart, and a line style each for print in grey.
_STYLES: Final = (
    ("#0072B2", "-"),
    ("#D55E00", "--"),
    ("#009E73", "-."),
    ("#CC79A7", ":"),
    ("#000000", (0, (6, 1, 1, 1, 1, 1))),
)
_POINTS: Final = 200


def draw(runs: Sequence[tuple[Contestant, Sequence[dict[str, Any]]]], title: str, reported: str) -> dict[str, bytes]:
    """Draw the median over runs of each contestant with a band from the lower to the upper quartile.

    Args:
        runs: contestants, each with its rows. Of one algorithm the last, whose budget should be the largest.
        title: of the picture.
        reported: which accuracy it is, for the axis.

    Returns:
        the picture as files: suffix -> content, without a date.
    """
    of_algorithm = {contestant.algorithm: rows for contestant, rows in runs}
    in_seconds = all(rows and rows[-1]["seconds"] > 0 for rows in of_algorithm.values())
    with mpl.rc_context({"svg.hashsalt": "naswot-ray", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for (name, rows), (colour, line) in zip(of_algorithm.items(), _STYLES, strict=False):
            x, quartiles = _curves(rows, in_seconds=in_seconds)
            axes.fill_between(x, quartiles[0], quartiles[2], color=colour, alpha=0.15, linewidth=0)
            axes.plot(x, quartiles[1], color=colour, linestyle=line, linewidth=1.8, label=name)
        axes.set_xscale("log")
        axes.set_xlabel("seconds of scoring and training (simulated)" if in_seconds else "architectures scored or trained")
        axes.set_ylabel(f"{reported} accuracy of the choice, %")
        axes.set_title(title, fontsize=10)
        axes.grid(visible=True, which="major", color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        lows = [np.nanmin(np.asarray(line.get_ydata())[_POINTS // 10 :]) for line in axes.get_lines()]
        axes.set_ylim(bottom=min(lows) - 1)
        axes.legend(frameon=False, loc="lower right", title="median, quartiles")
        files = {}
        for suffix, metadata in {".svg": {"Date": None}, ".png": None}.items():
            sink = io.BytesIO()
            figure.savefig(sink, format=suffix[1:], dpi=150, metadata=metadata)
            files[suffix] = sink.getvalue()
        return files


def _curves(rows: Sequence[dict[str, Any]], *, in_seconds: bool) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Budgets, shape (points,), and quartiles of the accuracy there, shape (3, points); NaN before half of the runs chose."""
    by_run: dict[int, tuple[list[float], list[float]]] = {}
    for row in rows:
        spent = row["seconds"] if in_seconds else row["num_scored"] + row["num_trained"]
        budgets, accuracies = by_run.setdefault(row["run"], ([], []))
        budgets.append(spent)
        accuracies.append(row["accuracy"])
    first = float(np.median([budgets[0] for budgets, _ in by_run.values()]))
    last = max(budgets[-1] for budgets, _ in by_run.values())
    x = np.geomspace(max(first, 1e-3), max(last, first, 1e-3), _POINTS)
    table = np.full((len(by_run), _POINTS), np.nan)
    for line, (budgets, accuracies) in zip(table, by_run.values(), strict=True):
        position = np.searchsorted(budgets, x, side="right") - 1
        seen = position >= 0
        line[seen] = np.array(accuracies)[position[seen]]
    return x, np.nanpercentile(table, [25, 50, 75], axis=0)
