"""`naswot_layerwise`: NASWOT computed for each tensor and summed."""

from __future__ import annotations

import numpy as np

from naswot_ray.measures.measure import Bounds, Tolerance, measure
from naswot_ray.measures.naswot import CITATION
from naswot_ray.measures.statistics import ForwardPass, Statistic


@measure(
    version=1,
    statistics=[Statistic.TENSOR_LOG_DETS],
    formula="sum over tensors t of log|det K_t|; a singular K_t adds 0",
    source="iViolinSolo/zero-cost-proxies, measure lnwot",
    differs="lnwot uses the outputs of convolutions, in evaluation mode",
    weak="a tensor whose kernel is singular counts as if its determinant were 1",
    cost="a log-determinant for each tensor",
    tolerance=Tolerance(per_tensor=1e-3),
    bounds=Bounds(lowest=0.0),
    citation=CITATION,
)
def naswot_layerwise(forward: ForwardPass) -> float:
    """The sum of the tensors' log-determinants without the singular kernels; 0 for a network without live ReLUs."""
    log_dets_t = forward.tensor_log_dets
    return float(log_dets_t[np.isfinite(log_dets_t)].sum())
