"""95% intervals of correlations, over which architectures happen to be in the sample.

Up to `MAX_BOOTSTRAP` architectures: the percentile bootstrap, 1,000 resamples. Above, where that would take hours and the
coefficients are as good as normal: the infinitesimal jackknife, which is the limit of the bootstrap's standard error, on
Fisher's scale z = atanh r, which keeps intervals inside [-1, 1].
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from naswot_ray.analysis.correlation import Correlation, FloatArray, Ranked

MAX_BOOTSTRAP = 1000
NUM_RESAMPLES = 1000
BOOTSTRAP, JACKKNIFE = "bootstrap", "jackknife"
SEED = 20260101
_Z = 1.959963984540054
"""97.5% quantile of the normal distribution."""

Interval = tuple[float, float]
NO_INTERVAL: Interval = (math.nan, math.nan)


def jackknife(correlation: Correlation) -> Interval:
    """value -> tanh(atanh value +- 1.96 standard errors / (1 - value^2)); NaN without a value."""
    value, error = correlation.value, correlation.standard_error
    if math.isnan(value) or math.isnan(error):
        return NO_INTERVAL
    if abs(value) == 1:
        return value, value
    centre, half = math.atanh(value), _Z * error / (1 - value**2)
    return math.tanh(centre - half), math.tanh(centre + half)


def percentile(resampled: FloatArray) -> Interval:
    """The 2.5% and 97.5% quantiles; resamples without an order to compare (NaN) are left out."""
    defined = resampled[~np.isnan(resampled)]
    if not len(defined):
        return NO_INTERVAL
    low, high = np.quantile(defined, (0.025, 0.975))
    return float(low), float(high)


class Resampled:
    """A variable in all resamples of n points.

    A resample is the number of times that it has each point. Kendall's tau of it is then a quadratic form in the signs of the
    differences in the whole sample, and a matrix product does all resamples at once.
    """

    def __init__(self, ranked: Ranked) -> None:
        self.signs = np.sign(ranked.dense[:, None] - ranked.dense).astype(np.float32)
        self.weights = resamples(len(ranked))

    @functools.cached_property
    def ranks(self) -> FloatArray:
        """(resamples, n) mid-ranks of every point among a resample's points, centred, times two."""
        ranks: FloatArray = (self.weights @ self.signs.T).astype(np.float64)
        return ranks

    @functools.cached_property
    def num_untied(self) -> FloatArray:
        """(resamples,) ordered pairs of different values."""
        return _quadratic(self.weights, np.abs(self.signs))

    @functools.cached_property
    def rank_variance(self) -> FloatArray:
        """(resamples,) of `ranks`, times n."""
        return _weighted(self.weights, self.ranks, self.ranks)

    def kendall(self, other: Resampled) -> FloatArray:
        """(resamples,) tau-b."""
        surplus = _quadratic(self.weights, self.signs * other.signs)
        return _ratio(surplus, self.num_untied * other.num_untied)

    def spearman(self, other: Resampled) -> FloatArray:
        """(resamples,) rho."""
        covariance = _weighted(self.weights, self.ranks, other.ranks)
        return _ratio(covariance, self.rank_variance * other.rank_variance)


def resampled_pearson(x: FloatArray, y: FloatArray) -> FloatArray:
    """(resamples,) Pearson's r of finite values."""
    weights = resamples(len(x)).astype(np.float64)
    a, b = x - x.mean(), y - y.mean()
    n = len(x)
    mean_a, mean_b = weights @ a / n, weights @ b / n
    covariance = weights @ (a * b) / n - mean_a * mean_b
    return _ratio(covariance, (weights @ (a * a) / n - mean_a**2) * (weights @ (b * b) / n - mean_b**2))


def resampled_partial(xy: FloatArray, xz: FloatArray, yz: FloatArray) -> FloatArray:
    """(resamples,) `correlation.partial` of each."""
    return _ratio(xy - xz * yz, (1 - xz**2) * (1 - yz**2))


@functools.lru_cache(maxsize=4)
def resamples(num_points: int) -> npt.NDArray[np.float32]:
    """(resamples, num_points) how often each resample has each point; the same on every call."""
    generator = np.random.default_rng([SEED, num_points])
    drawn = generator.multinomial(num_points, np.full(num_points, 1 / num_points), size=NUM_RESAMPLES)
    return drawn.astype(np.float32)


def _quadratic(weights: npt.NDArray[np.float32], matrix: npt.NDArray[np.float32]) -> FloatArray:
    # Sums of up to MAX_BOOTSTRAP ones are exact in float32; their squares are summed in float64.
    result: FloatArray = np.einsum("bn,bn->b", (weights @ matrix).astype(np.float64), weights)
    return result


def _weighted(weights: npt.NDArray[np.float32], a: FloatArray, b: FloatArray) -> FloatArray:
    result: FloatArray = np.einsum("bn,bn,bn->b", weights, a, b)
    return result


def _ratio(numerator: FloatArray, squared_scale: FloatArray) -> FloatArray:
    result = np.full(len(numerator), np.nan)
    defined = squared_scale > 1e-12
    result[defined] = np.clip(numerator[defined] / np.sqrt(squared_scale[defined]), -1, 1)
    return result
