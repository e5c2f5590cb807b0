"""The top of a ranking is averaged over all ways to break ties."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naswot_ray.analysis.correlation import Ranked
from naswot_ray.analysis.ranking import best_accuracy, chances_in_top, mean_accuracy, ndcg, recall, size_of_top

SMALL = st.integers(2, 5).flatmap(
    lambda n: st.tuples(
        st.lists(st.one_of(st.integers(0, 2).map(float), st.just(-math.inf)), min_size=n, max_size=n),
        st.lists(st.integers(0, 5).map(float), min_size=n, max_size=n),
        st.integers(1, n),
    )
)


def orders(values: list[float]) -> list[tuple[int, ...]]:
    """All rankings, best first, that break ties in some way."""
    found = itertools.permutations(range(len(values)))
    return [order for order in found if all(values[a] >= values[b] for a, b in itertools.pairwise(order))]


@settings(deadline=None)
@given(SMALL)
def test_means_over_all_ways_of_breaking_ties(case: tuple[list[float], list[float], int]) -> None:
    scores, accuracies, k = case
    x, y, values = Ranked(scores), Ranked(accuracies), np.array(accuracies)
    tops = [order[:k] for order in orders(scores)]
    assert mean_accuracy(x, values, k) == pytest.approx(np.mean([values[list(top)].mean() for top in tops]))
    assert best_accuracy(x, values, k) == pytest.approx(np.mean([values[list(top)].max() for top in tops]))
    best = [set(order[:k]) for order in orders(accuracies)]
    expected = np.mean([len(set(top) & true) / k for top in tops for true in best])
    assert recall(x, y, k) == pytest.approx(expected)
    assert chances_in_top(x, k).sum() == pytest.approx(k)


@settings(deadline=None)
@given(SMALL)
def test_ndcg_is_its_definition(case: tuple[list[float], list[float], int]) -> None:
    scores, accuracies, k = case
    gains = [
        sum(b < a for b in accuracies) / len(accuracies) + sum(b == a for b in accuracies) / len(accuracies) / 2
        for a in accuracies
    ]

    def dcg(order: tuple[int, ...]) -> float:
        return sum(gains[i] / math.log2(rank + 2) for rank, i in enumerate(order[:k]))

    expected = np.mean([dcg(order) for order in orders(scores)]) / dcg(orders(accuracies)[0])
    assert ndcg(Ranked(scores), Ranked(accuracies), k) == pytest.approx(expected)


def test_a_perfect_ranking() -> None:
    accuracies = np.array([10.0, 90.0, 80.0, 70.0])
    y = Ranked(accuracies)
    assert (recall(y, y, 2), ndcg(y, y), ndcg(y, y, 1)) == pytest.approx((1, 1, 1))
    assert best_accuracy(y, accuracies, 1) == 90
    assert mean_accuracy(y, accuracies, 4) == 62.5
    assert recall(Ranked(-accuracies), y, 2) == 0
    assert ndcg(Ranked(-accuracies), y) < 0.9


@pytest.mark.parametrize(("n", "percent", "k"), [(15625, 1, 156), (15625, 10, 1562), (3, 1, 1), (423624, 5, 21181)])
def test_size_of_top(n: int, percent: float, k: int) -> None:
    assert size_of_top(n, percent) == k


def test_large_ties() -> None:
    """100,000 values are tied; what counts is the best of 10 drawn at random."""
    accuracies = np.arange(100_000, dtype=float)
    assert best_accuracy(Ranked(np.zeros(100_000)), accuracies, 10) == pytest.approx(10 / 11 * 100_001 - 1)
