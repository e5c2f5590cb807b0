"""Both kinds of interval agree where both apply, and cover the true value as often as they should."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from naswot_ray.analysis import intervals
from naswot_ray.analysis.correlation import Correlation, FloatArray, Ranked, kendall, pearson, spearman
from naswot_ray.analysis.intervals import Resampled, jackknife, percentile, resampled_partial, resampled_pearson, resamples


def correlated(n: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Two variables with ties; a tenth of the values of one is -inf."""
    generator = np.random.default_rng(seed)
    y = generator.normal(size=n).round(1)
    x = y + generator.normal(size=n)
    x[: n // 10] = -math.inf
    return x, y


def test_resampled_coefficients_are_those_of_the_resamples() -> None:
    x, y = correlated(50, 0)
    z = np.round(np.maximum(x, -3) + y)
    finite = np.maximum(x, -9.0)
    weights = resamples(50)
    assert (weights.sum(axis=1) == 50).all()
    a, b, c = (Resampled(Ranked(v)) for v in (x, y, z))
    tau, rho, r = a.kendall(b), a.spearman(b), resampled_pearson(finite, y)
    given = resampled_partial(tau, a.kendall(c), c.kendall(b))
    for i in range(0, len(weights), 97):
        index = np.repeat(np.arange(50), weights[i].astype(int))
        expected = stats.kendalltau(finite[index], y[index]).statistic
        assert tau[i] == pytest.approx(expected, abs=1e-9)
        assert rho[i] == pytest.approx(stats.spearmanr(finite[index], y[index]).statistic, abs=1e-9)
        assert r[i] == pytest.approx(stats.pearsonr(finite[index], y[index]).statistic, abs=1e-9)
        xz, yz = stats.kendalltau(finite[index], z[index]).statistic, stats.kendalltau(y[index], z[index]).statistic
        assert given[i] == pytest.approx((expected - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2)), abs=1e-9)


def test_both_kinds_agree_at_the_border() -> None:
    x, y = correlated(intervals.MAX_BOOTSTRAP, 1)
    ranked = Ranked(x), Ranked(y)
    resampled = Resampled(ranked[0]), Resampled(ranked[1])
    keep = np.isfinite(x)
    assert percentile(resampled[0].kendall(resampled[1])) == pytest.approx(jackknife(kendall(*ranked)), abs=0.01)
    assert percentile(resampled[0].spearman(resampled[1])) == pytest.approx(jackknife(spearman(*ranked)), abs=0.01)
    assert percentile(resampled_pearson(x[keep], y[keep])) == pytest.approx(jackknife(pearson(x[keep], y[keep])), abs=0.01)


@pytest.mark.parametrize("kind", ["bootstrap", "jackknife"])
def test_95_percent_of_intervals_cover_the_truth(kind: str) -> None:
    """For a bivariate normal with correlation r, tau is 2 / pi asin r. The test draws 100 samples of 150."""
    r, covered = 0.6, 0
    truth = 2 / math.pi * math.asin(r)
    generator = np.random.default_rng(7)
    for _ in range(100):
        x, y = generator.multivariate_normal([0, 0], [[1, r], [r, 1]], size=150).T
        a, b = Ranked(x), Ranked(y)
        low, high = percentile(Resampled(a).kendall(Resampled(b))) if kind == "bootstrap" else jackknife(kendall(a, b))
        covered += low <= truth <= high
    assert 89 <= covered <= 99


def test_resamples_are_the_same_every_time() -> None:
    first = resamples(20)
    resamples.cache_clear()
    assert (first == resamples(20)).all()


def test_where_there_is_no_value_there_is_no_interval() -> None:
    assert all(map(math.isnan, jackknife(Correlation(math.nan, np.empty(0)))))
    assert all(map(math.isnan, percentile(np.full(5, math.nan))))
    assert jackknife(kendall(Ranked([1, 2, 3]), Ranked([1, 2, 3]))) == (1, 1)


def test_intervals_stay_inside_the_range() -> None:
    n = 30
    x = np.arange(n, dtype=float)
    y = x.copy()
    y[[3, 4]] = y[[4, 3]]
    low, high = jackknife(kendall(Ranked(x), Ranked(y)))
    assert 0.9 < low < high < 1
