"""The picture of an ablation: how far each architecture's values move when one thing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from naswot_ray.ablation.levels import Ablated, Factor
from naswot_ray.analysis.figures.style import SERIES, annotate, new_figure, styled

_TITLES: Final = {
    Factor.INITIALISATION: "Initialisation",
    Factor.MINIBATCH: "Minibatch",
    Factor.NOISE: "Random images",
    Factor.BATCH_SIZE: "Batch size",
}


def draw(found: Sequence[Ablated], measures: Sequence[str], facts: Sequence[str]) -> Figure:
    """Draw a row of panels for each measure, a panel for each factor: the values of the architectures.

    In each row the architectures are in the order of their value at the common setting. Values at different batch sizes do not
    compare: that panel shows ranks.

    Args:
        found: everything that an ablation found.
        measures: which rows to draw.
        facts: what the ablation is of, for the small print.
    """
    factors = list(dict.fromkeys(one.level.factor for one in found))
    with styled():
        figure = new_figure(3.6 * len(factors), 3.5 * len(measures) + 0.3)
        for row, measure in enumerate(measures):
            order = _order(found, measure)
            for column, factor in enumerate(factors):
                axes = figure.add_subplot(len(measures), len(factors), row * len(factors) + column + 1)
                _panel(axes, [one for one in found if one.level.factor is factor], measure, order)
                if not row:
                    axes.set_title(_TITLES[factor])
        annotate(figure.axes[0], facts)
    return figure


def _order(found: Sequence[Ablated], measure: str) -> list[str]:
    """Architectures from the lowest to the highest value at the common setting; those without one first."""
    first = found[0].level
    at_first = [(one.values.get(measure, -np.inf), one.arch_id) for one in found if one.level == first]
    return [arch_id for _, arch_id in sorted(at_first)]


def _panel(axes: Axes, found: Sequence[Ablated], measure: str, order: Sequence[str]) -> None:
    ranks = found[0].level.factor is Factor.BATCH_SIZE
    levels = list(dict.fromkeys(one.level for one in found))
    place = {arch_id: number for number, arch_id in enumerate(order)}
    x = np.arange(len(order))
    for number, level in enumerate(levels):
        values = np.full(len(order), np.nan)
        for one in found:
            if one.level == level:
                values[place[one.arch_id]] = one.values.get(measure, np.nan)
        if ranks:
            colour, marker, line = SERIES[number % len(SERIES)]
            known = ~np.isnan(values)
            y = np.full(len(order), np.nan)
            y[known] = values[known].argsort().argsort() + 1
            axes.plot(x + 1, y, color=colour, marker=marker, linestyle=line, markersize=4, label=str(level.batch_size))
        else:
            y = np.where(np.isfinite(values), values, np.nan)
            axes.plot(x + 1, y, "o", color=SERIES[0][0], alpha=0.35, markersize=4, markeredgewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"architecture, by its {measure}")
    axes.set_ylabel(f"rank by {measure}" if ranks else measure)
    if ranks:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(title="images", fontsize=8)
