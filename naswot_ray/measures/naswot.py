"""`naswot`: the score of Mellor et al., as their published code computes it."""

from __future__ import annotations

from typing import Final

from naswot_ray.citation import Citation
from naswot_ray.measures.measure import KERNEL_BOUNDS, KERNEL_TOLERANCE, measure
from naswot_ray.measures.statistics import ForwardPass, Statistic

CITATION: Final = Citation(
    key="mellor2021naswot",
    title="Neural Architecture Search without Training",
    authors=("Mellor, Joseph", "Turner, Jack", "Storkey, Amos", "Crowley, Elliot J."),
    venue="International Conference on Machine Learning",
    year=2021,
)


@measure(
    version=1,
    statistics=[Statistic.LOG_DETS],
    formula="log|det K|, K[i,j] = N_A - hamming(code_i, code_j), every live ReLU with its published multiplicity",
    source="Mellor et al., Neural Architecture Search without Training, ICML 2021, section 3; BayesWatch/nas-without-training",
    differs="",
    weak="on NAS-Bench-101 the number of ReLU layers predicts better",
    cost="Gram matrices of the codes",
    tolerance=KERNEL_TOLERANCE,
    bounds=KERNEL_BOUNDS,
    citation=CITATION,
)
def naswot(forward: ForwardPass) -> float:
    """log|det K| with the multiplicities of the published code; -inf if K is singular."""
    return forward.log_dets.published
