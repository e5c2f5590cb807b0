"""Which figures a dataset gives: for each space with accuracies, the scatter, the batch sizes and the kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from naswot_ray.analysis.columns import Column, Points, list_points, load_points, seed_values
from naswot_ray.analysis.figures.batch_sizes import draw_batch_sizes
from naswot_ray.analysis.figures.kernels import Panel, choose_architectures, draw_kernels
from naswot_ray.analysis.figures.scatter import draw_scatter
from naswot_ray.analysis.names import dataset_name
from naswot_ray.dataset.dataset import Dataset

ScoredKernel = tuple[npt.NDArray[np.int64], float]
"""K of one network, shape (n, n), and its `naswot`."""

KernelSource = Callable[[Points, int, Sequence[str]], Sequence[ScoredKernel] | None]
"""Gives the kernels of some architectures of the points, at a batch size and seed 0; None where they cannot be had."""


def draw_figures(
    dataset: Dataset, measure: str | None, colour: str, kernels: KernelSource
) -> Iterator[tuple[str, Figure | None]]:
    """Draw the figures of every space that has accuracies.

    Args:
        dataset: with scores and accuracies.
        measure: what is drawn against accuracy; None for `naswot`, or the first that has values.
        colour: the column that colours the scatter, a key of `Points.columns`.
        kernels: a dataset holds no kernels, so they come from here; the figure is left out where this gives None.

    Yields:
        the figure's name, such as `nasbench201-cifar10-naswot-scatter`, and the figure; None where the space has no value of
        the measure on these images.
    """
    for space, images in list_points(dataset):
        points = load_points(dataset, space, images)
        accuracy = points.main_accuracy
        if accuracy is None:
            continue
        main = points.main_column(measure)
        name = f"{space}-{images}"
        if main is None or main.measure is None:
            yield f"{name}-{measure or 'measure'}", None
            continue
        yield f"{name}-{main.measure}-scatter", draw_scatter(points, main, accuracy, points.columns[colour])
        if len(points.of_measure(main.measure)) > 1:
            by_seed = seed_values(dataset, points, main.measure)
            yield f"{name}-{main.measure}-batch-sizes", draw_batch_sizes(points, main.measure, by_seed)
        figure = _kernels(points, main, accuracy, kernels)
        if figure is not None:
            yield f"{name}-kernels", figure


def _kernels(points: Points, main: Column, accuracy: Column, kernels: KernelSource) -> Figure | None:
    batch_size = main.batch_size
    assert batch_size is not None
    chosen = choose_architectures(points, accuracy)
    found = kernels(points, batch_size, [arch_id for of_group in chosen.values() for arch_id, _ in of_group])
    if found is None:
        return None
    remaining = iter(found)
    panels = {
        group: [Panel(*kernel, percent) for (_, percent), kernel in zip(of_group, remaining, strict=False)]
        for group, of_group in chosen.items()
    }
    note = f"{batch_size} {dataset_name(points.images)} images, seed 0, in the order in which they are drawn · {accuracy.label}"
    return draw_kernels(panels, f"{points.space}: kernels of untrained networks", note)
