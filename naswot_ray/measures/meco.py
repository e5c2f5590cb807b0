"""`meco`: the smallest eigenvalues of the correlation between the channels of feature maps."""

from __future__ import annotations

from naswot_ray.citation import Citation
from naswot_ray.measures.measure import Bounds, Tolerance, measure
from naswot_ray.measures.statistics import ForwardPass, Statistic


@measure(
    version=1,
    statistics=[Statistic.SMALLEST_CORRELATIONS],
    formula="sum over tensors t of the smallest eigenvalue of the channels' Pearson correlation over the first image's pixels",
    source="Jiang et al., MeCo, NeurIPS 2023; HamsterMimi/MeCo, meco.py",
    differs="the published code uses the output of every module instead of the inputs of ReLUs",
    weak="a tensor with no more pixels than channels adds 0: deep stages of small maps do not count; on NAS-Bench-201 the "
    "cells that it ranks highest are not the best (docs/search.md)",
    cost="eigenvalues for each tensor, from one image",
    tolerance=Tolerance(absolute=1e-3, relative=1e-3),
    bounds=Bounds(lowest=0.0),
    citation=Citation(
        key="jiang2023meco",
        title="{MeCo}: Zero-Shot {NAS} with One Data and Single Forward Pass via Minimum Eigenvalue of Correlation",
        authors=("Jiang, Tangyu", "Wang, Haodi", "Bie, Rongfang"),
        venue="Advances in Neural Information Processing Systems",
        year=2023,
    ),
)
def meco(forward: ForwardPass) -> float:
    """The sum of the tensors' smallest eigenvalues; 0 for a network without live ReLUs."""
    return float(forward.smallest_correlations.sum())
