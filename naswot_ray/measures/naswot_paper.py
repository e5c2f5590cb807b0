"""`naswot_paper`: the score of Mellor et al. by the formula of their paper, which counts every ReLU once."""

from __future__ import annotations

from naswot_ray.measures.measure import KERNEL_BOUNDS, KERNEL_TOLERANCE, measure
from naswot_ray.measures.naswot import CITATION
from naswot_ray.measures.statistics import ForwardPass, Statistic


@measure(
    version=1,
    statistics=[Statistic.LOG_DETS],
    formula="log|det K|, K[i,j] = N_A - hamming(code_i, code_j), every live ReLU once",
    source="Mellor et al., Neural Architecture Search without Training, ICML 2021, equation 2",
    differs="the published code counts a ReLU once more for each enclosing block with 'ReLU' in the name of its class",
    weak="the same as naswot",
    cost="Gram matrices of the codes",
    tolerance=KERNEL_TOLERANCE,
    bounds=KERNEL_BOUNDS,
    citation=CITATION,
)
def naswot_paper(forward: ForwardPass) -> float:
    """log|det K| with every live ReLU counted once; -inf if K is singular."""
    return forward.log_dets.paper
