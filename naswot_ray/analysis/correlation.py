"""Correlation of a predictor with accuracy: Kendall, Spearman, Pearson and partial, each with the influence of every point.

All are plain functions of numpy arrays, O(n log n), signed. `-inf` is an ordinary value for the rank measures: smaller than all
others, tied with itself. The influence of a point (the infinitesimal jackknife: Efron, "The jackknife, the bootstrap and other
resampling plans", SIAM 1982, section 6) is what the standard errors in `intervals` are made of.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

MAX_POINTS = 1 << 21
"""Three ranks share a 63-bit sort key."""

_BRUTE_FORCE = 16
"""Blocks of this many are compared all with all; halving them further would cost more."""


@dataclass(frozen=True)
class Correlation:
    """A coefficient and how much each point pulls at it.

    Attributes:
        value: in [-1, 1]; NaN where a side has one value only, or there are fewer than two points.
        influence: (n,) n times the change of the value per unit of a point's weight; sums to about 0. Empty where value is NaN.
    """

    value: float
    influence: FloatArray

    @property
    def standard_error(self) -> float:
        """Of the value, for points drawn independently; NaN where there is none."""
        n = len(self.influence)
        return math.sqrt(dot(self.influence, self.influence) / (n * (n - 1))) if n > 1 else math.nan


NO_CORRELATION = Correlation(math.nan, np.empty(0))


class Ranked:
    """A variable as ranks, made once for all its correlations.

    Args:
        values: (n,) without NaN; -inf is allowed.

    Attributes:
        dense: (n,) 0 for the smallest value, equal for ties, without gaps.
        counts: (number of distinct values,) how often each occurs.
    """

    def __init__(self, values: npt.ArrayLike) -> None:
        array = np.asarray(values, dtype=np.float64)
        if np.isnan(array).any():
            raise ValueError("NaN has no rank")
        if len(array) > MAX_POINTS:
            raise ValueError(f"{len(array):,} points; at most {MAX_POINTS:,} can be ranked")
        _, dense, counts = np.unique(array, return_inverse=True, return_counts=True)
        self.dense: IntArray = dense.astype(np.int32)
        self.counts: IntArray = counts.astype(np.int32)

    def __len__(self) -> int:
        return len(self.dense)

    @property
    def is_constant(self) -> bool:
        """Whether there is no order to compare."""
        return len(self.counts) < 2

    @functools.cached_property
    def ties(self) -> IntArray:
        """(n,) how many points have the same value, itself included."""
        return self.counts[self.dense]

    @functools.cached_property
    def below(self) -> IntArray:
        """(n,) how many points have a smaller value."""
        return (np.cumsum(self.counts, dtype=np.int32) - self.counts)[self.dense]

    @functools.cached_property
    def centred(self) -> FloatArray:
        """(n,) mid-ranks as shares of n, less their mean one half."""
        return (self.below + 0.5 * self.ties) / len(self) - 0.5

    @functools.cached_property
    def variance(self) -> float:
        """Of `centred`."""
        return dot(self.centred, self.centred) / len(self)

    @functools.cached_property
    def variance_influence(self) -> FloatArray:
        """(n,) the influence of each point on `variance`, including that on the ranks of others."""
        return self.centred**2 + self.pull(self.centred) - 3 * self.variance

    def pull(self, other: FloatArray) -> FloatArray:
        """(n,) mean over j of sign(x_j - x_i) other_j."""
        totals = np.bincount(self.dense, weights=other, minlength=len(self.counts))
        upto = np.cumsum(totals)
        share: FloatArray = (upto[-1] - 2 * upto + totals)[self.dense] / len(self)
        return share


def kendall(x: Ranked, y: Ranked) -> Correlation:
    """Kendall's tau-b (Kendall, "The treatment of ties in ranking problems", Biometrika 1945), as `scipy.stats.kendalltau`.

    (concordant - discordant pairs) / sqrt(pairs not tied in x * pairs not tied in y).
    """
    if x.is_constant or y.is_constant:
        return NO_CORRELATION
    n = len(x)
    surplus = concordance(x, y) / (n - 1)
    untied_x, untied_y = ((n - r.ties) / (n - 1) for r in (x, y))
    mean_x, mean_y = float(untied_x.mean()), float(untied_y.mean())
    scale = math.sqrt(mean_x * mean_y)
    mean = float(surplus.mean())
    tau = mean / scale
    influence = 2 * (surplus - mean) / scale - tau * (untied_x / mean_x + untied_y / mean_y - 2)
    return Correlation(_clip(tau), influence)


def spearman(x: Ranked, y: Ranked) -> Correlation:
    """Spearman's rho: Pearson's r of the mid-ranks (ties share the mean of their ranks), as `scipy.stats.spearmanr`."""
    if x.is_constant or y.is_constant:
        return NO_CORRELATION
    covariance = dot(x.centred, y.centred) / len(x)
    scale = math.sqrt(x.variance * y.variance)
    rho = covariance / scale
    of_covariance = x.centred * y.centred + 0.5 * (x.pull(y.centred) + y.pull(x.centred)) - 3 * covariance
    influence = of_covariance / scale - 0.5 * rho * (x.variance_influence / x.variance + y.variance_influence / y.variance)
    return Correlation(_clip(rho), influence)


def pearson(x: npt.ArrayLike, y: npt.ArrayLike) -> Correlation:
    """Pearson's r of finite values. Points at -inf have to be left out before."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(a) < 2 or (a == a[0]).all() or (b == b[0]).all():
        return NO_CORRELATION
    a, b = a - a.mean(), b - b.mean()
    a /= math.sqrt(dot(a, a) / len(a))
    b /= math.sqrt(dot(b, b) / len(b))
    r = dot(a, b) / len(a)
    return Correlation(_clip(r), a * b - 0.5 * r * (a * a + b * b))


def partial(xy: Correlation, xz: Correlation, yz: Correlation) -> Correlation:
    """Correlation of x and y with z held fixed: (xy - xz yz) / sqrt((1 - xz^2)(1 - yz^2)).

    Of Kendall's tau it is his partial tau ("Partial rank correlation", Biometrika 1942), of Spearman's rho the partial rank
    correlation. NaN where x or y is z up to order, for nothing is left then.
    """
    rest_x, rest_y = 1 - xz.value**2, 1 - yz.value**2
    if not min(rest_x, rest_y) > 1e-12:  # NaN as well
        return NO_CORRELATION
    scale = math.sqrt(rest_x * rest_y)
    value = (xy.value - xz.value * yz.value) / scale
    by_xz = (value * xz.value / rest_x) - yz.value / scale
    by_yz = (value * yz.value / rest_y) - xz.value / scale
    return Correlation(_clip(value), xy.influence / scale + by_xz * xz.influence + by_yz * yz.influence)


def concordance(x: Ranked, y: Ranked) -> IntArray:
    """(n,) for each point, how many points are concordant with it less how many are discordant.

    With L the number of points that are smaller in both, everything else follows from ranks and ties.
    """
    n = len(x)
    bits = max(1, (n - 1).bit_length())
    index = np.arange(n)
    last = (1 << bits) - 1
    # Points smaller in one and tied in the other must not count: they come later in one order, or earlier in the other.
    x_high, y_high = x.dense.astype(np.int64) << bits, y.dense.astype(np.int64) << bits
    by_x = np.sort(((x_high | (last - y.dense)) << bits) | index) & last
    by_y = last - (np.sort(((y_high | (last - x.dense)) << bits) | (last - index)) & last)
    position = np.empty(n, np.int32)
    position[by_y] = np.arange(n, dtype=np.int32)
    result = (n + 1) - 2 * (x.below + y.below) - (x.ties + y.ties)
    result += 4 * _earlier_and_smaller(position[by_x])[position]
    # Runs of points equal in both, in both orders, give the ties in one among those smaller in the other.
    for order, outer, inner in ((by_x, x, y), (by_y, y, x)):
        place = np.flatnonzero(outer.ties[order] > 1)
        tied = order[place]
        starts = np.flatnonzero((np.diff(outer.dense[tied], prepend=-1) != 0) | (np.diff(inner.dense[tied], prepend=-1) != 0))
        lengths = np.diff(starts, append=len(tied))
        ends = np.repeat(place[starts] + lengths, lengths)
        result[tied] += (2 * (outer.below[tied] + outer.ties[tied] - ends)).astype(np.int32)
        if outer is x:
            result[tied] += np.repeat(lengths - 1, lengths).astype(np.int32)
    return result


def _earlier_and_smaller(permutation: IntArray) -> IntArray:
    """Of each value v of a permutation, at index v: how many smaller values stand before it.

    Sorts by halves, most significant bit first, each half in the order of before: a value of the upper half then has as many
    values of the lower half before it as its place tells. A merge sort turned over, of which numpy does a level at once.
    """
    n = len(permutation)
    size = max(_BRUTE_FORCE, 1 << (n - 1).bit_length())
    # A value in the lower 32 bits, its count above.
    packed = np.arange(size, dtype=np.int64)
    packed[:n] = permutation
    half = size // 2
    while half >= _BRUTE_FORCE:
        is_upper = (packed & half) != 0
        upper = np.flatnonzero(is_upper)
        raised = (upper & (2 * half - 1)).reshape(-1, half) - np.arange(half)
        sorted_ = np.empty((size // (2 * half), 2, half), np.int64)
        sorted_[:, 0] = packed[np.flatnonzero(~is_upper)].reshape(-1, half)
        sorted_[:, 1] = packed[upper].reshape(-1, half) + (raised << 32)
        packed = sorted_.reshape(-1)
        half //= 2
    counts, values = (packed >> 32).astype(np.int32), packed.astype(np.int32)
    blocks, block_counts = values.reshape(-1, _BRUTE_FORCE).T.copy(), np.zeros((_BRUTE_FORCE, size // _BRUTE_FORCE), np.int32)
    for i in range(1, _BRUTE_FORCE):
        for j in range(i):
            block_counts[i] += blocks[i] > blocks[j]
    result = np.empty(size, np.int32)
    result[values] = counts + block_counts.T.reshape(-1)
    return result[:n]


def dot(a: FloatArray, b: FloatArray) -> float:
    """Inner product. By einsum, for BLAS starts threads for it, which wait for each other where cores are busy."""
    return float(np.einsum("i,i->", a, b))


def _clip(value: float) -> float:
    return min(1.0, max(-1.0, value))
