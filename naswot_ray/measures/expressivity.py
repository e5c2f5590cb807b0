"""`expressivity`: how evenly the channels' principal components share the variance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from naswot_ray.measures.measure import Tolerance, measure
from naswot_ray.measures.statistics import FloatArray, ForwardPass, Statistic

_OFFSET = 1e-8
"""Inside the logarithm (AZ-NAS's published code)."""


@measure(
    version=1,
    statistics=[Statistic.COVARIANCE_SPECTRA],
    formula="sum over tensors t of -sum_i p_i log(p_i + 1e-8), p the normalised eigenvalues of the channels' covariance",
    source="Lee and Ham, AZ-NAS, CVPR 2024; cvlab-yonsei/AZ-NAS, compute_az_nas_score.py",
    differs="the published code takes the outputs of blocks instead of what ReLUs read",
    weak="grows with the number of tensors and channels, whatever the images",
    cost="channel covariances over all images, and their eigenvalues",
    tolerance=Tolerance(absolute=1e-3, relative=1e-3),
)
def expressivity(forward: ForwardPass) -> float:
    """The sum of the tensors' entropies; 0 for a network without live ReLUs."""
    return _sum_of_entropies(forward.covariance_spectra)


def _sum_of_entropies(spectra: Sequence[FloatArray]) -> float:
    """Of eigenvalues, each of shape (c,): negative ones count as 0, and a tensor of which all are 0 has the entropy 0.

    Of all tensors at once: there are dozens of them, and each numpy call takes about a microsecond.
    """
    if not spectra:
        return 0.0
    sizes = np.array([len(spectrum_c) for spectrum_c in spectra])
    positive = np.maximum(np.concatenate(spectra), 0.0)
    totals = np.add.reduceat(positive, np.cumsum(sizes) - sizes)
    p = positive / np.repeat(np.where(totals > 0, totals, 1.0), sizes)
    return float(-(p * np.log(p + _OFFSET)).sum())
