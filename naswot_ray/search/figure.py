"""The picture of a search: accuracy of the choice against what was spent."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from naswot_ray.search.results import Result, Setting
from naswot_ray.terminal import printable

# Okabe and Ito's colours, which the colour-blind tell apart, and a line style each for print in grey.
_STYLES: Final = (
    ("#0072B2", "-"),
    ("#D55E00", "--"),
    ("#009E73", "-."),
    ("#CC79A7", ":"),
    ("#000000", (0, (6, 1, 1, 1, 1, 1))),
)
_POINTS: Final = 200


def draw(runs: Sequence[tuple[Result, Sequence[dict[str, Any]]]], setting: Setting) -> dict[str, bytes]:
    """Draw the median over runs of each algorithm with a band from the lower to the upper quartile.

    Args:
        runs: results, each with its rows. Of several results of one algorithm, the one that went on longest is drawn.
        setting: what was searched, for the title and the axes.

    Returns:
        the picture as files: suffix -> content, without a date.
    """
    of_algorithm: dict[str, tuple[Result, Sequence[dict[str, Any]]]] = {}
    for result, rows in sorted(runs, key=lambda run: (run[0].num_scored + run[0].num_trained, run[0].seconds)):
        of_algorithm[result.contestant.algorithm] = result, rows
    drawn = [of_algorithm[name] for name in dict.fromkeys(result.contestant.algorithm for result, _ in runs)]
    trained = any(result.num_trained for result, _ in drawn)
    in_seconds = (setting.times_known or not trained) and all(rows and rows[-1]["seconds"] > 0 for _, rows in drawn)
    with mpl.rc_context({"svg.hashsalt": "naswot-ray", "svg.fonttype": "none", "font.size": 10, "text.parse_math": False}):
        figure = Figure(figsize=(7, 4.4), layout="constrained")
        axes = figure.add_subplot()
        for (result, rows), (colour, line) in zip(drawn, _STYLES, strict=False):
            x, quartiles = _curves(rows, in_seconds=in_seconds)
            axes.fill_between(x, quartiles[0], quartiles[2], color=colour, alpha=0.15, linewidth=0)
            axes.plot(x, quartiles[1], color=colour, linestyle=line, linewidth=1.8, label=result.label)
        axes.set_xscale("log")
        what = "scoring and training" if trained else "scoring"
        simulated = "" if setting.score_seeds is None and not trained else " (simulated)"
        counted = "architectures scored or trained" if trained else "architectures scored"
        axes.set_xlabel(f"seconds of {what} in a run{simulated}" if in_seconds else f"{counted} in a run")
        assert setting.reported is not None
        after = f"after {setting.reported.epochs} epochs, of the choice, %"
        trained_on = printable(f"{setting.reported.dataset} {setting.reported.split}")
        axes.set_ylabel(f"{trained_on} accuracy\n{after}")
        facts = f"{setting.known}; scores: {setting.scores}"
        axes.set_title(f"{setting.space}, {setting.num_runs:,} run{'s' if setting.num_runs > 1 else ''}\n{facts}", fontsize=9)
        axes.grid(visible=True, which="major", color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        lows = [np.nanmin(np.asarray(line.get_ydata())[_POINTS // 10 :]) for line in axes.get_lines()]
        axes.set_ylim(bottom=min(lows) - 1)
        axes.legend(frameon=False, loc="lower right", title="median and quartiles of the runs")
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
