"""Kendall's tau against batch size: the mean over seeds, with a band from the worst seed to the best."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from naswot_ray.analysis.columns import DATASET_NAMES, Points, Values, rank_correlation
from naswot_ray.analysis.figures.style import SERIES, annotate, new_figure, styled


def draw_batch_sizes(points: Points, by_seed: Mapping[int, Mapping[int, Values]]) -> Figure:
    """One line per dataset that the space was trained on; test accuracies only, as far as there are any.

    Args:
        points: the space, with accuracies.
        by_seed: batch size -> seed -> scores, from `seed_scores`.
    """
    accuracies = list(points.of_kind("accuracy").values())
    accuracies = [c for c in accuracies if c.split == "test"] or accuracies
    sizes = sorted(by_seed)
    counts = set()
    with styled():
        figure = new_figure(7.2, 4.4)
        axes = figure.add_subplot()
        for i, accuracy in enumerate(accuracies):
            colour, marker, line = SERIES[i % len(SERIES)]
            taus = []
            for size in sizes:
                pairs = [rank_correlation(scores, accuracy.values) for scores in by_seed[size].values()]
                counts |= {count for _, count in pairs}
                taus.append([tau for tau, _ in pairs if not math.isnan(tau)] or [math.nan])
            mean = [float(np.mean(of_size)) for of_size in taus]
            axes.fill_between(sizes, [min(t) for t in taus], [max(t) for t in taus], color=colour, alpha=0.18, linewidth=0)
            for size, of_size in zip(sizes, taus, strict=True):
                axes.plot([size] * len(of_size), of_size, "_", color=colour, markersize=9, alpha=0.8)
            name = DATASET_NAMES.get(accuracy.dataset or "", accuracy.dataset)
            label = f"{name}, {accuracy.split} accuracy after {accuracy.epochs} epochs"
            axes.plot(sizes, mean, color=colour, marker=marker, linestyle=line, label=label)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set(xlabel="Batch size (images)", ylabel="Kendall τ with accuracy")
        axes.margins(x=0.08, y=0.12)
        axes.set_title(f"{points.space}: rank correlation by batch size")
        counts_of_seeds = [len(by_seed[size]) for size in sizes]
        num_seeds = (
            f"{counts_of_seeds[0]} each"
            if len(set(counts_of_seeds)) == 1
            else ", ".join(f"{number} at {size}" for number, size in zip(counts_of_seeds, sizes, strict=True))
        )
        architectures = f"{min(counts):,} to {max(counts):,}" if len(counts) > 1 else f"{max(counts, default=0):,}"
        images = f"{DATASET_NAMES.get(points.images, points.images)} images"
        annotate(axes, [f"{architectures} architectures", images, f"band: single seeds ({num_seeds})"])
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=min(len(accuracies), 2), fontsize=8.5)
        return figure
