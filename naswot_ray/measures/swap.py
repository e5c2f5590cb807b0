"""`swap`: the number of sample-wise activation patterns."""

from __future__ import annotations

import numpy as np

from naswot_ray.citation import Citation
from naswot_ray.measures.measure import Bounds, Tolerance, measure
from naswot_ray.measures.statistics import PATTERN_IMAGES, ForwardPass, Statistic


def _most_patterns(num_images: int, num_units: int) -> float:
    """The largest number of patterns: one for each unit, and no more than there are patterns of so many signs."""
    return float(min(2 ** min(num_images, PATTERN_IMAGES), num_units))


@measure(
    version=1,
    statistics=[Statistic.PATTERNS],
    formula="number of distinct patterns of signs over the first 16 images, among the units of all tensors",
    source="Peng et al., SWAP-NAS, ICLR 2024; pym1024/SWAP, swap.py",
    differs="the published number is the mean over 32 initialisations, at the outputs of ReLUs",
    weak="it is at most 2^16, or 2^n for a batch of n < 16 images, so it hardly tells large networks apart",
    cost="small",
    tolerance=Tolerance(relative=2e-3),
    bounds=Bounds(lowest=0.0, highest=_most_patterns),
    citation=Citation(
        key="peng2024swapnas",
        title="{SWAP-NAS}: Sample-Wise Activation Patterns for Ultra-fast {NAS}",
        authors=("Peng, Yameng", "Song, Andy", "Fayek, Haytham M.", "Ciesielski, Vic", "Chang, Xiaojun"),
        venue="International Conference on Learning Representations",
        year=2024,
    ),
)
def swap(forward: ForwardPass) -> float:
    """The number of patterns; 0 for a network without live ReLUs."""
    return float(np.count_nonzero(forward.patterns))
