"""The picture of an ablation: how far each architecture's score moves when one thing is changed."""

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


def draw(found: Sequence[Ablated], facts: Sequence[str]) -> Figure:
    """Draw a panel for each factor: scores of the architectures, which are in the order of their score at the common setting.

    Scores at different batch sizes do not compare: that panel shows ranks.

    Args:
        found: all scores of an ablation.
        facts: what it is of, for the small print.
    """
    factors = list(dict.fromkeys(one.level.factor for one in found))
    order = _order(found)
    with styled():
        figure = new_figure(3.6 * len(factors), 3.8)
        for number, factor in enumerate(factors):
            axes = figure.add_subplot(1, len(factors), number + 1)
            _panel(axes, [one for one in found if one.level.factor is factor], order, ranks=factor is Factor.BATCH_SIZE)
            axes.set_title(_TITLES[factor])
            if not number:
                annotate(axes, facts)
    return figure


def _order(found: Sequence[Ablated]) -> list[str]:
    first = found[0].level
    at_first = [(one.score, one.arch_id) for one in found if one.level == first]
    return [arch_id for _, arch_id in sorted(at_first)]


def _panel(axes: Axes, found: Sequence[Ablated], order: Sequence[str], *, ranks: bool) -> None:
    levels = list(dict.fromkeys(one.level for one in found))
    place = {arch_id: number for number, arch_id in enumerate(order)}
    x = np.arange(len(order))
    for number, level in enumerate(levels):
        scores = np.full(len(order), np.nan)
        for one in found:
            if one.level == level:
                scores[place[one.arch_id]] = one.score
        if ranks:
            colour, marker, line = SERIES[number % len(SERIES)]
            y = scores.argsort().argsort() + 1
            axes.plot(x + 1, y, color=colour, marker=marker, linestyle=line, markersize=4, label=str(level.batch_size))
        else:
            y = np.where(np.isfinite(scores), scores, np.nan)
            axes.plot(x + 1, y, "o", color=SERIES[0][0], alpha=0.35, markersize=4, markeredgewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("architecture, by its score")
    axes.set_ylabel("rank" if ranks else "NASWOT score")
    if ranks:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(title="images", fontsize=8)
