"""`expressivity`: how evenly the variance is spread over the principal components of the channels."""

from __future__ import annotations

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
    return sum((_entropy(spectrum) for spectrum in forward.covariance_spectra), 0.0)


def _entropy(spectrum_c: FloatArray) -> float:
    """Entropy of the eigenvalues, shape (c,). Negative eigenvalues count as 0; the entropy is 0 if all of them are 0."""
    positive_c = np.maximum(spectrum_c, 0.0)
    total = positive_c.sum()
    if total == 0:
        return 0.0
    p_c = positive_c / total
    return float(-(p_c * np.log(p_c + _OFFSET)).sum())
