"""`swap`: sample-wise activation patterns."""

from __future__ import annotations

from naswot_ray.measures.measure import Tolerance, measure
from naswot_ray.measures.statistics import ForwardPass, Statistic


@measure(
    version=1,
    statistics=[Statistic.PATTERNS],
    formula="number of distinct patterns of signs over the first 16 images, among the units of all tensors",
    source="Peng et al., SWAP-NAS, ICLR 2024; pym1024/SWAP, swap.py",
    differs="the published number is the mean over 32 initialisations, at the outputs of ReLUs",
    weak="at most 2^16, and 2^n for a batch of n < 16 images: large networks are told apart badly",
    cost="small",
    tolerance=Tolerance(relative=2e-3),
)
def swap(forward: ForwardPass) -> float:
    """The number of patterns; 0 for a network without live ReLUs."""
    return float(forward.patterns.sum())
