"""`expressivity`: how evenly the variance is spread over the principal components of the channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from naswot_ray.citation import Citation
from naswot_ray.measures.measure import Bounds, Tolerance, measure
from naswot_ray.measures.statistics import FloatArray, ForwardPass, Statistic

_OFFSET = 1e-8
"""Added inside the logarithm, as in the published code of AZ-NAS."""


@measure(
    version=1,
    statistics=[Statistic.COVARIANCE_SPECTRA],
    formula="sum over tensors t of -sum_i p_i log(p_i + 1e-8), p the normalised eigenvalues of the channels' covariance",
    source="Lee and Ham, AZ-NAS, CVPR 2024; cvlab-yonsei/AZ-NAS, compute_az_nas_score.py",
    differs="the published code uses the outputs of blocks instead of the inputs of ReLUs",
    weak="it grows with the number of tensors and channels, whatever the images are",
    cost="channel covariances over all images, and their eigenvalues",
    tolerance=Tolerance(absolute=1e-3, relative=1e-3),
    bounds=Bounds(lowest=0.0),
    citation=Citation(
        key="lee2024aznas",
        title="{AZ-NAS}: Assembling Zero-Cost Proxies for Network Architecture Search",
        authors=("Lee, Junghyup", "Ham, Bumsub"),
        venue="IEEE/CVF Conference on Computer Vision and Pattern Recognition",
        year=2024,
    ),
)
def expressivity(forward: ForwardPass) -> float:
    """The sum of the tensors' entropies; 0 for a network without live ReLUs."""
    return _sum_of_entropies(forward.covariance_spectra)


def _sum_of_entropies(spectra: Sequence[FloatArray]) -> float:
    """The entropies of tensors' eigenvalues, each of shape (c,), added up.

    Negative eigenvalues count as 0. A tensor whose eigenvalues are all 0 has the entropy 0. All tensors are taken at once,
    since there are dozens of them and each numpy call takes about a microsecond.
    """
    if not spectra:
        return 0.0
    sizes = np.array([len(spectrum_c) for spectrum_c in spectra])
    positive = np.maximum(np.concatenate(spectra), 0.0)
    totals = np.add.reduceat(positive, np.cumsum(sizes) - sizes)
    p = positive / np.repeat(np.where(totals > 0, totals, 1.0), sizes)
    return float(-(p * np.log(p + _OFFSET)).sum())
