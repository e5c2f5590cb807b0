"""`naswot_paper`: the score of Mellor et al. by the formula of the paper, in which every ReLU counts once."""

from __future__ import annotations

from naswot_ray.measures.measure import KERNEL_BOUNDS, KERNEL_TOLERANCE, measure
from naswot_ray.measures.statistics import ForwardPass, Statistic


@measure(
    version=1,
    statistics=[Statistic.LOG_DETS],
    formula="log|det K|, K[i,j] = N_A - hamming(code_i, code_j), every live ReLU once",
    source="Mellor et al., Neural Architecture Search without Training, ICML 2021, equation 2",
    differs="the published code counts a ReLU once more for each block with 'ReLU' in its class's name around it",
    weak="as naswot",
    cost="Gram matrices of the codes",
    tolerance=KERNEL_TOLERANCE,
    bounds=KERNEL_BOUNDS,
)
def naswot_paper(forward: ForwardPass) -> float:
    """log|det K| with every live ReLU once; -inf where K is singular."""
    return forward.log_dets.paper
