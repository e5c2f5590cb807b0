"""Everything that is measured of one predictor on one set of architectures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from naswot_ray.analysis import intervals, ranking
from naswot_ray.analysis.correlation import NO_CORRELATION, Correlation, FloatArray, Ranked, kendall, partial, pearson, spearman
from naswot_ray.analysis.intervals import Interval, Resampled

GIVEN = ("params", "flops")
"""What a partial correlation holds fixed."""

TOP_PERCENTS = (1.0, 5.0, 10.0)
"""Of recall."""

TOP_KS = (1, 10, 100, 1000)
"""Of the accuracy of the top, and of nDCG."""


@dataclass(frozen=True)
class Measured:
    """One number.

    Attributes:
        measure: `tau`, `spearman`, `pearson`, `recall`, `mean_accuracy`, `best_accuracy` or `ndcg`.
        value: NaN where it is not defined.
        given: what a partial correlation holds fixed; None for a plain one.
        top_percent, top_k: which part of the ranking; None for all of it.
        num_used: architectures that it is of.
        interval: 95%, of correlations; NaN where there is none.
        method: how the interval was made.
    """

    measure: str
    value: float
    num_used: int
    given: str | None = None
    top_percent: float | None = None
    top_k: int | None = None
    interval: Interval = intervals.NO_INTERVAL
    method: str | None = None


class Ground:
    """Architectures with their accuracies and baselines, prepared once for all predictors.

    Args:
        accuracies: (n,) percent, without NaN.
        baselines: name -> (n,); one with NaN is left out.

    Attributes:
        baselines: those that are known of every architecture.
    """

    def __init__(self, accuracies: FloatArray, baselines: Mapping[str, FloatArray]) -> None:
        self.accuracies = accuracies
        self.ranked = Ranked(accuracies)
        self.baselines = {name: values for name, values in baselines.items() if not np.isnan(values).any()}
        self._given = {name: Ranked(self.baselines[name]) for name in GIVEN if name in self.baselines}
        self._of_given = {name: (kendall(z, self.ranked), spearman(z, self.ranked)) for name, z in self._given.items()}
        self._bootstrap = 1 < len(accuracies) <= intervals.MAX_BOOTSTRAP
        if self._bootstrap:
            self._resampled = Resampled(self.ranked)
            self._resampled_given = {name: Resampled(z) for name, z in self._given.items()}

    def measure(self, values: FloatArray, *, partials: bool) -> Iterator[Measured]:
        """All measures of a predictor.

        Args:
            values: (n,) without NaN; -inf ranks last, tied, and is left out of Pearson's r.
            partials: also those given `GIVEN`.
        """
        x, n = Ranked(values), len(values)
        tau, rho = kendall(x, self.ranked), spearman(x, self.ranked)
        resampled = Resampled(x) if self._bootstrap else None
        yield self._correlation("tau", tau, resampled.kendall(self._resampled) if resampled else None)
        yield self._correlation("spearman", rho, resampled.spearman(self._resampled) if resampled else None)
        finite = np.isfinite(values)
        a, b = values[finite], self.accuracies[finite]
        r = pearson(a, b)
        yield self._correlation("pearson", r, intervals.resampled_pearson(a, b) if resampled and len(a) > 1 else None, len(a))
        for name, z in self._given.items() if partials else ():
            of_tau, of_rho = self._of_given[name]
            taus = rhos = None
            if resampled:
                z_resampled = self._resampled_given[name]
                taus, rhos = (
                    intervals.resampled_partial(
                        of(resampled, self._resampled), of(resampled, z_resampled), of(z_resampled, self._resampled)
                    )
                    for of in (Resampled.kendall, Resampled.spearman)
                )
            yield self._correlation("tau", partial(tau, kendall(x, z), of_tau), taus, given=name)
            yield self._correlation("spearman", partial(rho, spearman(x, z), of_rho), rhos, given=name)
        for percent in TOP_PERCENTS if n else ():
            k = ranking.size_of_top(n, percent)
            yield Measured("recall", ranking.recall(x, self.ranked, k), n, top_percent=percent, top_k=k)
        for k in (k for k in TOP_KS if k <= n):
            yield Measured("mean_accuracy", ranking.mean_accuracy(x, self.accuracies, k), n, top_k=k)
            yield Measured("best_accuracy", ranking.best_accuracy(x, self.accuracies, k), n, top_k=k)
            if k > 1:  # of one, nDCG is the gain itself
                yield Measured("ndcg", ranking.ndcg(x, self.ranked, k), n, top_k=k)
        if n > 1:
            yield Measured("ndcg", ranking.ndcg(x, self.ranked), n)

    def _correlation(
        self,
        measure: str,
        correlation: Correlation,
        resampled: FloatArray | None,
        num_used: int | None = None,
        given: str | None = None,
    ) -> Measured:
        num_used = len(self.accuracies) if num_used is None else num_used
        if math.isnan(correlation.value) or correlation is NO_CORRELATION:
            return Measured(measure, math.nan, num_used, given)
        if resampled is not None:
            return Measured(
                measure,
                correlation.value,
                num_used,
                given,
                interval=intervals.percentile(resampled),
                method=intervals.BOOTSTRAP,
            )
        return Measured(
            measure, correlation.value, num_used, given, interval=intervals.jackknife(correlation), method=intervals.JACKKNIFE
        )
