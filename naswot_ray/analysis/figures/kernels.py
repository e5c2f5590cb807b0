"""Kernel matrices of networks of low, middle and high accuracy, as in the paper.

Mellor et al., "Neural Architecture Search without Training" (ICML 2021), the figure of K_H for networks of low and
high accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from naswot_ray.analysis.columns import Column, Points
from naswot_ray.analysis.figures.style import new_figure, styled

RANKS: Final = {
    "low accuracy": (0.03, 0.06, 0.10),
    "middle accuracy": (0.45, 0.50, 0.55),
    "high accuracy": (0.98, 0.99, 1.0),
}
"""Group -> which architectures it shows, as their place in the order by accuracy: 0 the worst, 1 the best."""


@dataclass(frozen=True)
class Panel:
    """One network's kernel.

    Attributes:
        kernel: K, shape (n, n), int64.
        score: `naswot`, log|det K|.
        accuracy: percent.
    """

    kernel: npt.NDArray[np.int64]
    score: float
    accuracy: float


def choose_architectures(points: Points, accuracy: Column) -> dict[str, list[tuple[str, float]]]:
    """Group -> (arch_id, accuracy) of the architectures whose kernels are shown; a function of the accuracies alone."""
    known = np.flatnonzero(~np.isnan(accuracy.values))
    order = known[np.argsort(accuracy.values[known], kind="stable")]
    places = {group: [order[round(rank * (len(order) - 1))] for rank in ranks] for group, ranks in RANKS.items()}
    return {group: [(points.arch_ids[i], float(accuracy.values[i])) for i in chosen] for group, chosen in places.items()}


def draw_kernels(panels: Mapping[str, Sequence[Panel]], title: str, note: str) -> Figure:
    """Kernels side by side: a column a group, a row a network, one colour scale.

    A kernel is shown as K / N_A, the share of ReLU units on which two images agree. It is 1 on the diagonal, far above
    all else, so the scale is that of pairs of different images.
    """
    shares = {group: [panel.kernel / panel.kernel.diagonal().max() for panel in of_group] for group, of_group in panels.items()}
    apart = [share[~np.eye(len(share), dtype=bool)] for of_group in shares.values() for share in of_group]
    low, high = (float(v) for v in np.quantile(np.concatenate(apart), [0.01, 0.99]))
    num_rows = max(len(of_group) for of_group in panels.values())
    with styled():
        figure = new_figure(7.2, 2.15 * num_rows + 0.9)
        grid = figure.subplots(num_rows, len(panels), squeeze=False)
        image = None
        for column, (group, of_group) in enumerate(panels.items()):
            for row, panel in enumerate(of_group):
                axes = grid[row][column]
                image = axes.imshow(shares[group][row], vmin=low, vmax=high, interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.grid(visible=False)
                for spine in axes.spines.values():
                    spine.set_visible(False)
                caption = f"{panel.accuracy:.2f} % accurate, naswot {_text(panel.score)}"
                axes.set_xlabel(caption, fontsize=8)
                if row == 0:
                    axes.set_title(group, loc="center", fontsize=10, pad=5)
        assert image is not None
        bar = figure.colorbar(image, ax=grid, shrink=0.6, pad=0.02, extend="both")
        bar.set_label("Share of ReLU units on which two images agree, K / $N_A$", parse_math=True)
        bar.outline.set_visible(False)
        figure.suptitle(title, x=0.02, ha="left", fontsize=11, fontweight="bold")
        figure.supxlabel(note, fontsize=8, color="#555555", x=0.02, ha="left")
        return figure


def _text(score: float) -> str:
    return f"{score:.1f}" if np.isfinite(score) else "-∞ (singular)"
