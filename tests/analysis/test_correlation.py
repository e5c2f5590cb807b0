"""Coefficients are compared with scipy, and their influences with the definition: the effect of leaving out a point."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from naswot_ray.analysis.correlation import (
    MAX_POINTS,
    Correlation,
    FloatArray,
    Ranked,
    concordance,
    kendall,
    partial,
    pearson,
    spearman,
)

INF = math.inf
VALUES = st.one_of(st.integers(-5, 5).map(float), st.just(-INF), st.floats(-1e3, 1e3))
PAIRS = st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=80).map(lambda rows: np.array(rows).T)


def has_order(values: FloatArray) -> bool:
    return len(set(values.tolist())) > 1


@settings(deadline=None)
@given(PAIRS)
def test_concordance_is_its_definition(pair: FloatArray) -> None:
    x, y = pair
    expected = [
        sum(int(np.sign(float(a > b) - float(a < b)) * np.sign(float(c > d) - float(c < d))) for b, d in zip(x, y, strict=True))
        for a, c in zip(x, y, strict=True)
    ]
    assert concordance(Ranked(x), Ranked(y)).tolist() == expected


@settings(deadline=None)
@given(PAIRS)
def test_kendall_and_spearman_are_scipys(pair: FloatArray) -> None:
    x, y = pair
    tau, rho = (of(Ranked(x), Ranked(y)).value for of in (kendall, spearman))
    if has_order(x) and has_order(y):
        assert tau == pytest.approx(stats.kendalltau(x, y, variant="b").statistic, abs=1e-12)
        ranks = stats.rankdata(x), stats.rankdata(y)  # scipy's spearmanr turns -inf into NaN
        assert rho == pytest.approx(stats.pearsonr(*ranks).statistic, abs=1e-12)
    else:
        assert math.isnan(tau)
        assert math.isnan(rho)


@settings(deadline=None)
@given(PAIRS)
def test_swapped_and_turned_over(pair: FloatArray) -> None:
    x, y = Ranked(pair[0]), Ranked(pair[1])
    finite = np.maximum(pair[0], -1e4)
    for of in (kendall, spearman):
        value = of(x, y).value
        assert of(y, x).value == pytest.approx(value, nan_ok=True, abs=1e-12)
        assert of(Ranked(-finite), y).value == pytest.approx(-value, nan_ok=True, abs=1e-12)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-100, 100), st.integers(-9, 9)), min_size=3, max_size=50))
def test_pearson_is_scipys(rows: list[tuple[float, int]]) -> None:
    x, y = np.array(rows, dtype=np.float64).T
    if np.ptp(x) > 1e-6 and np.ptp(y):
        assert pearson(x, y).value == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)


@pytest.mark.parametrize("n", [2, 3, 15, 16, 17, 31, 32, 33, 255, 256, 257, 1000, 4096, 5000])
def test_sizes_around_the_blocks(n: int) -> None:
    generator = np.random.default_rng(n)
    x, y = generator.normal(size=n), generator.integers(0, max(2, n // 3), n).astype(float)
    y[0] = -1
    assert kendall(Ranked(x), Ranked(y)).value == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)


def test_a_singular_score_is_below_every_other_and_tied_with_its_like() -> None:
    x, y = [-INF, -5.0, 3.0, -INF, 7.0], [10.0, 60.0, 50.0, 90.0, 80.0]
    assert kendall(Ranked(x), Ranked(y)).value == pytest.approx(stats.kendalltau([-9, -5, 3, -9, 7], y).statistic)


def test_what_has_no_rank() -> None:
    with pytest.raises(ValueError, match="NaN"):
        Ranked([1.0, math.nan])
    with pytest.raises(ValueError, match="at most"):
        Ranked(np.zeros(MAX_POINTS + 1))


def without(values: FloatArray, i: int) -> FloatArray:
    return np.delete(values, i)


def of_partial(x: FloatArray, y: FloatArray, measure: Callable[[Ranked, Ranked], Correlation]) -> Correlation:
    z = np.round(x + y, 0)
    return partial(measure(Ranked(x), Ranked(y)), measure(Ranked(x), Ranked(z)), measure(Ranked(z), Ranked(y)))


@pytest.mark.parametrize("decimals", [1, 6], ids=["ties", "no ties"])
@pytest.mark.parametrize(
    "measure",
    [
        lambda x, y: kendall(Ranked(x), Ranked(y)),
        lambda x, y: spearman(Ranked(x), Ranked(y)),
        pearson,
        lambda x, y: of_partial(x, y, kendall),
        lambda x, y: of_partial(x, y, spearman),
    ],
    ids=["kendall", "spearman", "pearson", "partial tau", "partial rho"],
)
def test_influence_is_what_leaving_a_point_out_does(measure: Callable[..., Correlation], decimals: int) -> None:
    """The values of the jackknife, (n - 1) times the change, equal the influence up to terms of order 1 / n."""
    generator = np.random.default_rng(1)
    n = 400
    x = generator.normal(size=n).round(decimals)
    y = (0.5 * x + generator.normal(size=n)).round(decimals)
    whole = measure(x, y)
    assert whole.influence.sum() == pytest.approx(0, abs=1e-9)
    left_out = np.array([(n - 1) * (whole.value - measure(without(x, i), without(y, i)).value) for i in range(n)])
    np.testing.assert_allclose(whole.influence, left_out, rtol=0.03, atol=0.05)
    jackknife = math.sqrt((n - 1) / n * float(((left_out - left_out.mean()) ** 2).sum())) / (n - 1)
    assert whole.standard_error == pytest.approx(jackknife, rel=0.02)


def test_partial_is_its_formula() -> None:
    one, two, three = (Correlation(value, np.zeros(3)) for value in (0.6, 0.5, 0.4))
    assert partial(one, two, three).value == pytest.approx((0.6 - 0.2) / math.sqrt((1 - 0.25) * (1 - 0.16)))


def test_partial_removes_what_a_third_variable_explains() -> None:
    generator = np.random.default_rng(0)
    z = generator.normal(size=4000)
    x, y, z_ = (Ranked(v) for v in (z + generator.normal(size=4000), z + generator.normal(size=4000), z))
    assert spearman(x, y).value > 0.4
    assert abs(partial(spearman(x, y), spearman(x, z_), spearman(z_, y)).value) < 0.05


def test_nothing_is_left_given_the_predictor_itself() -> None:
    x, y = Ranked(np.arange(9)), Ranked([3, 1, 4, 1, 5, 9, 2, 6, 5])
    assert math.isnan(partial(kendall(x, y), kendall(x, x), kendall(x, y)).value)
    assert math.isnan(partial(kendall(x, y), Correlation(math.nan, np.empty(0)), kendall(x, y)).value)
