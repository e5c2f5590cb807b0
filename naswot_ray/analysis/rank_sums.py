"""Rank sums: fixed combinations of measures and baselines into one predictor.

A rank sum is not a measure. A measure is a function of one network on one batch; a rank sum is a function of a *set* of
architectures, since ranks are places among others. Add an architecture to the set and every value may change. So a rank sum is
never stored as a column of a dataset: whoever needs one computes it on the set at hand, and says which set that is.

The combinations in `RANK_SUMS` are this project's own. The way to combine is that of AZ-NAS (Lee and Ham, CVPR 2024), which
sums log(rank / N) over other parts. N is the same for all architectures, so both sums give the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from naswot_ray.analysis.correlation import Ranked
from naswot_ray.errors import SettingsError
from naswot_ray.registry import nearest


@dataclass(frozen=True)
class RankSum:
    """A fixed combination.

    Attributes:
        name: of the predictor.
        parts: the measures and baselines that it combines; larger is better in each.
        meaning: one line.
    """

    name: str
    parts: tuple[str, ...]
    meaning: str


_ALL: Final = (
    RankSum(
        "log_rank_sum",
        ("meco", "naswot", "num_relus"),
        "sum of the logarithms of the ranks of meco, naswot and num_relus among the architectures of the space on one batch",
    ),
    RankSum(
        "meco_expressivity_rank_sum",
        ("meco", "expressivity"),
        "sum of the logarithms of the ranks of meco and expressivity among the architectures of the space on one batch",
    ),
)

RANK_SUMS: Final[Mapping[str, RankSum]] = MappingProxyType({one.name: one for one in _ALL})
"""Name -> rank sum."""


def rank_sum(name: str, columns: Mapping[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """The sum over the parts of the natural logarithm of an architecture's rank.

    The ranks of each part run from 1 (the smallest value, the worst) to n (the largest, the best) among the n architectures
    that have all parts. Architectures with equal values share the mean of their ranks. -inf (a singular kernel) is an ordinary
    value, smaller than all others and equal to itself.

    Args:
        name: one of `RANK_SUMS`.
        columns: part -> (m,) values of a set of m architectures on one batch; NaN where an architecture lacks one. More columns
            than the parts may be there.

    Returns:
        (m,) float64, at most log n for each part. NaN for an architecture that lacks a part; it takes no rank.

    Raises:
        SettingsError: there is no rank sum of that name, or `columns` lacks one of its parts.
    """
    if name not in RANK_SUMS:
        raise SettingsError(f"unknown rank sum {name[:80]!r}; there are: {', '.join(RANK_SUMS)}{nearest(name, RANK_SUMS)}")
    parts = RANK_SUMS[name].parts
    if lacking := [part for part in parts if part not in columns]:
        raise SettingsError(f"{name} combines {', '.join(parts)}; {' and '.join(lacking)} not given")
    values = np.stack([np.asarray(columns[part], np.float64) for part in parts])
    complete = ~np.isnan(values).any(axis=0)
    result = np.full(values.shape[1], np.nan)
    result[complete] = sum(np.log(_ranks(part[complete])) for part in values)
    return result


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n,) the ranks of n values without NaN: 1 for the smallest, the mean of their ranks for equal ones."""
    ranked = Ranked(values)
    ranks: npt.NDArray[np.float64] = ranked.below + (ranked.ties + 1) / 2
    return ranks
