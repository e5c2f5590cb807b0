"""Kendall's tau against batch size: the mean over seeds, with a band from the worst seed to the best."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from naswot_ray.analysis.columns import Points, Values, rank_correlation
from naswot_ray.analysis.figures.style import SERIES, annotate, new_figure, styled
from naswot_ray.analysis.names import dataset_name
from naswot_ray.terminal import printable


def draw_batch_sizes(points: Points, measure: str, by_seed: Mapping[int, Mapping[int, Values]]) -> Figure:
    """One line per dataset that the space was trained on; test accuracies only, as far as there are any.

    Only the seeds of a batch size that have the most architectures count: a mean or band is not to be of different subsets.

    Args:
        points: the space, with accuracies.
        measure: what is correlated with accuracy.
        by_seed: batch size -> seed -> its values, from `seed_values`.
    """
    accuracies = list(points.of_kind("accuracy").values())
    accuracies = [c for c in accuracies if c.split == "test"] or accuracies
    sizes = sorted(by_seed)
    counts: dict[int, set[int]] = {size: set() for size in sizes}
    num_left_out = 0
    with styled():
        figure = new_figure(7.2, 4.4)
        axes = figure.add_subplot()
        for i, accuracy in enumerate(accuracies):
            colour, marker, line = SERIES[i % len(SERIES)]
            taus = []
            for size in sizes:
                pairs = [rank_correlation(values, accuracy.values) for values in by_seed[size].values()]
                most = max(count for _, count in pairs)
                counts[size].add(most)
                num_left_out = max(num_left_out, sum(count < most for _, count in pairs))
                taus.append([tau for tau, count in pairs if count == most and not math.isnan(tau)] or [math.nan])
            mean = [float(np.mean(of_size)) for of_size in taus]
            axes.fill_between(sizes, [min(t) for t in taus], [max(t) for t in taus], color=colour, alpha=0.18, linewidth=0)
            for size, of_size in zip(sizes, taus, strict=True):
                axes.plot([size] * len(of_size), of_size, "_", color=colour, markersize=9, alpha=0.8)
            name = dataset_name(accuracy.dataset or "")
            label = f"{name}, {printable(accuracy.split or '')} accuracy after {accuracy.epochs} epochs"
            axes.plot(sizes, mean, color=colour, marker=marker, linestyle=line, label=label)
        axes.set_xscale("log", base=2)
        ranges = {size: _range(counts[size]) for size in sizes}
        differ = len(set(ranges.values())) > 1
        axes.set_xticks(sizes, [f"{size}\n{ranges[size]}" if differ else str(size) for size in sizes])
        axes.minorticks_off()
        below = "; below it the architectures" if differ else ""
        axes.set(xlabel=f"Batch size (images){below}", ylabel="Kendall τ with accuracy, mean over seeds")
        axes.margins(x=0.08, y=0.12)
        axes.set_title(f"{points.space}: rank correlation of {printable(measure)} by batch size")
        counts_of_seeds = [len(by_seed[size]) for size in sizes]
        num_seeds = (
            f"{counts_of_seeds[0]} each"
            if len(set(counts_of_seeds)) == 1
            else ", ".join(f"{number} at {size}" for number, size in zip(counts_of_seeds, sizes, strict=True))
        )
        architectures = _range(set().union(*counts.values()))
        images = f"{dataset_name(points.images)} images"
        facts = [f"{architectures} architectures", images, f"band: worst to best of single seeds ({num_seeds})"]
        if num_left_out:
            facts.append("seeds with fewer architectures left out")
        annotate(axes, facts)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=min(len(accuracies), 2), fontsize=8.5)
        return figure


def _range(counts: set[int]) -> str:
    low, high = min(counts, default=0), max(counts, default=0)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
