"""How good the top of a ranking by a predictor is: recall, accuracy of the top, nDCG.

Predictors such as the number of layers tie many architectures. A tie is broken at random, and every measure here is the
mean over all ways of breaking it, in closed form: so it depends neither on the order of the rows nor on luck.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from naswot_ray.analysis.correlation import FloatArray, Ranked, dot


def size_of_top(num_points: int, percent: float) -> int:
    """How many the top `percent` are: rounded to the nearest, at least one."""
    return max(1, round(num_points * percent / 100))


def chances_in_top(ranked: Ranked, k: int) -> FloatArray:
    """(n,) the chance of each point to be among the k highest: 1, 0, or, for those tied on the border, their share."""
    above = len(ranked) - ranked.below - ranked.ties
    return np.clip((k - above) / ranked.ties, 0.0, 1.0)


def recall(predictor: Ranked, accuracy: Ranked, k: int) -> float:
    """The share of the k most accurate that is among the k highest by predictor."""
    return dot(chances_in_top(predictor, k), chances_in_top(accuracy, k)) / k


def mean_accuracy(predictor: Ranked, accuracies: FloatArray, k: int) -> float:
    """The mean accuracy of the k highest by predictor, in the accuracies' unit."""
    return dot(chances_in_top(predictor, k), accuracies) / k


def best_accuracy(predictor: Ranked, accuracies: FloatArray, k: int) -> float:
    """The highest accuracy among the k highest by predictor, in the accuracies' unit."""
    chances = chances_in_top(predictor, k)
    certain = accuracies[chances == 1].max(initial=-math.inf)
    tied = np.sort(accuracies[(chances > 0) & (chances < 1)])[::-1]
    if not len(tied):
        return float(certain)
    num_drawn = k - int((chances == 1).sum())
    # The t-th best of T tied is the best of m drawn: C(T-t, m-1) / C(T, m), as a running product.
    t = np.arange(1, len(tied) - num_drawn + 1)
    steps = (len(tied) - t - num_drawn + 1) / (len(tied) - t)
    chance_best: FloatArray = np.cumprod(np.concatenate(([num_drawn / len(tied)], steps)), dtype=np.float64)
    return dot(chance_best, np.maximum(tied[: len(chance_best)], certain))


def ndcg(predictor: Ranked, accuracy: Ranked, k: int | None = None) -> float:
    """Normalised discounted cumulative gain of the first k of the ranking, or of all.

    Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 2002, discount 1 / log2(1 + rank).
    The gain of an architecture is the share of architectures that are less accurate, ties counting half: in a space where
    nearly all accuracies are between 90 and 94, gains in percent points would give every ranking nearly 1. Those tied by the
    predictor have the mean of their gains (McSherry and Najork, "Computing information retrieval performance measures
    efficiently in the presence of tied scores", ECIR 2008).
    """
    gains: FloatArray = accuracy.centred + 0.5
    return _dcg(predictor, gains, k) / _dcg(accuracy, gains, k)


def _dcg(predictor: Ranked, gains: FloatArray, k: int | None) -> float:
    upto = _sums_of_discounts(len(predictor))
    mean_gains: FloatArray = np.bincount(predictor.dense, weights=gains)[::-1] / predictor.counts[::-1]
    ends = np.minimum(np.cumsum(predictor.counts[::-1]), len(predictor) if k is None else k)
    return dot(mean_gains, np.diff(upto[ends], prepend=0.0))


@functools.lru_cache(maxsize=4)
def _sums_of_discounts(n: int) -> FloatArray:
    """(n + 1,) of the first 0 to n ranks."""
    sums: FloatArray = np.concatenate(([0.0], np.cumsum(1 / np.log2(np.arange(2, n + 2)))))
    return sums
