"""How well a predictor orders architectures by their accuracy: every number that an analysis gives of the two."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from naswot_ray.analysis import intervals, ranking
from naswot_ray.analysis.correlation import NO_CORRELATION, Correlation, FloatArray, Ranked, kendall, partial, pearson, spearman
from naswot_ray.analysis.intervals import Interval, Resampled

GIVEN = ("params", "flops")
"""Baselines that a partial correlation holds fixed."""

TOP_PERCENTS = (1.0, 5.0, 10.0)
"""Parts of the ranking that recall is taken of."""

TOP_KS = (1, 10, 100, 1000)
"""Numbers of architectures that the accuracy of the top, and nDCG, are taken of."""


@dataclass(frozen=True)
class Metric:
    """One number.

    Attributes:
        metric: `tau`, `spearman`, `pearson`, `recall`, `mean_accuracy`, `best_accuracy` or `ndcg`.
        value: NaN where it is not defined.
        given: what a partial correlation holds fixed; None for a plain one.
        top_percent, top_k: which part of the ranking; None for all of it.
        num_used: how many architectures it is taken over.
        interval: 95%, of correlations; NaN where there is none.
        method: how the interval was made.
    """

    metric: str
    value: float
    num_used: int
    given: str | None = None
    top_percent: float | None = None
    top_k: int | None = None
    interval: Interval = intervals.NO_INTERVAL
    method: str | None = None


class Variable:
    """A number of each architecture of a set, with what all its correlations share.

    Args:
        values: (n,) without NaN; -inf ranks last, tied.
    """

    def __init__(self, values: FloatArray) -> None:
        self.values = values
        self.ranked = Ranked(values)

    @cached_property
    def resampled(self) -> Resampled | None:
        """The variable in all resamples; None where intervals are made without them."""
        return Resampled(self.ranked) if 1 < len(self.values) <= intervals.MAX_BOOTSTRAP else None


@dataclass(frozen=True)
class Pair:
    """The rank correlations of two variables, and the same in all resamples where there are some."""

    tau: Correlation
    rho: Correlation
    taus: FloatArray | None
    rhos: FloatArray | None

    @classmethod
    def of(cls, x: Variable, y: Variable) -> Pair:
        """Two variables of the same architectures."""
        taus = rhos = None
        if x.resampled is not None and y.resampled is not None:
            taus, rhos = x.resampled.kendall(y.resampled), x.resampled.spearman(y.resampled)
        return cls(kendall(x.ranked, y.ranked), spearman(x.ranked, y.ranked), taus, rhos)


def pairs_with(variable: Variable, given: Mapping[str, Variable]) -> dict[str, Pair]:
    """A variable with each of those that partial correlations hold fixed. It does not depend on what it is compared with."""
    return {name: Pair.of(variable, z) for name, z in given.items()}


def metrics_of(
    x: Variable, y: Variable, x_given: Mapping[str, Pair] | None = None, y_given: Mapping[str, Pair] | None = None
) -> Iterator[Metric]:
    """All metrics of a predictor.

    Args:
        x: the predictor; -inf is left out of Pearson's r.
        y: the accuracies of the same architectures, percent.
        x_given, y_given: what `pairs_with` gives of both; the partial correlations are left out without them.
    """
    pair, n = Pair.of(x, y), len(x.values)
    yield _correlation("tau", pair.tau, pair.taus, n)
    yield _correlation("spearman", pair.rho, pair.rhos, n)
    finite = np.isfinite(x.values)
    a, b = x.values[finite], y.values[finite]
    rs = intervals.resampled_pearson(a, b) if x.resampled is not None and len(a) > 1 else None
    yield _correlation("pearson", pearson(a, b), rs, len(a))
    for name, xz in (x_given or {}).items():
        yz = (y_given or {})[name]
        for metric, of in (("tau", (pair.tau, xz.tau, yz.tau)), ("spearman", (pair.rho, xz.rho, yz.rho))):
            resampled = (pair.taus, xz.taus, yz.taus) if metric == "tau" else (pair.rhos, xz.rhos, yz.rhos)
            known = [values for values in resampled if values is not None]
            interval = intervals.resampled_partial(*known) if len(known) == len(resampled) else None
            yield _correlation(metric, partial(*of), interval, n, given=name)
    for percent in TOP_PERCENTS if n else ():
        k = ranking.size_of_top(n, percent)
        yield Metric("recall", ranking.recall(x.ranked, y.ranked, k), n, top_percent=percent, top_k=k)
    for k in (k for k in TOP_KS if k <= n):
        yield Metric("mean_accuracy", ranking.mean_accuracy(x.ranked, y.values, k), n, top_k=k)
        yield Metric("best_accuracy", ranking.best_accuracy(x.ranked, y.values, k), n, top_k=k)
        if k > 1:  # nDCG of one is the gain itself
            yield Metric("ndcg", ranking.ndcg(x.ranked, y.ranked, k), n, top_k=k)
    if n > 1:
        yield Metric("ndcg", ranking.ndcg(x.ranked, y.ranked), n)


def _correlation(
    metric: str, correlation: Correlation, resampled: FloatArray | None, num_used: int, given: str | None = None
) -> Metric:
    if math.isnan(correlation.value) or correlation is NO_CORRELATION:
        return Metric(metric, math.nan, num_used, given)
    if resampled is None:
        interval, method = intervals.jackknife(correlation), intervals.JACKKNIFE
    else:
        interval, method = intervals.percentile(resampled), intervals.BOOTSTRAP
    return Metric(metric, correlation.value, num_used, given, interval=interval, method=method)
