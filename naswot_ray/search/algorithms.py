"""The search algorithms. Each is a function of a search and a random generator, and goes on until the budget is spent.

Algorithms know of scores only that a larger one is better; `Problem.criterion` says what they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import numpy as np

from naswot_ray.search.problem import Budget, BudgetSpentError, Problem, Search

Algorithm = Callable[[Search, np.random.Generator], None]

POPULATION: Final = 10
TOURNAMENT: Final = 3
"""Sizes of regularised evolution's population and tournaments, as in NATS-Bench's scripts (Dong et al., TPAMI 2021)."""

WARM_START: Final = 20
"""How many architectures AREA scores, to start with the best of them (Mellor et al. 2021, section 4.3)."""


def random_search(search: Search, generator: np.random.Generator) -> None:
    """Train architectures in random order."""
    for number in generator.permutation(search.problem.size):
        search.train(int(number))


def sample(search: Search, generator: np.random.Generator) -> None:
    """Score architectures in random order and take the best: NASWOT's procedure (Mellor et al. 2021, algorithm 1).

    Nothing is trained.
    """
    search.score_all(generator.permutation(search.problem.size).tolist())


def regularised_evolution(search: Search, generator: np.random.Generator) -> None:
    """REA (Real et al., AAAI 2019): the best of a few changes in one place and joins, the oldest leaves."""
    _evolve(search, generator, _draw(search.problem, generator, POPULATION))


def assisted_evolution(search: Search, generator: np.random.Generator) -> None:
    """AREA (Mellor et al. 2021): REA that starts with the best of `WARM_START` random architectures, which are scored.

    Mellor et al. score by `naswot`; here it is the criterion of the problem, among the `WARM_START` architectures.
    """
    drawn = _draw(search.problem, generator, WARM_START)
    search.score_all(drawn)
    values = dict(zip(drawn, search.values(drawn), strict=True))
    _evolve(search, generator, sorted(drawn, key=lambda number: -values[number])[:POPULATION])


def local_search(search: Search, generator: np.random.Generator) -> None:
    """Climb from a random architecture to its best neighbour by the criterion until none is better, then from another one.

    An algorithm of this project. Nothing is trained, and no architecture is scored twice. It ends: once no neighbour is new,
    the values stay as they are, and each step goes to a larger one.
    """

    def score_new(numbers: Sequence[int]) -> None:
        search.score_all([number for number in dict.fromkeys(numbers) if not search.is_scored(number)])

    for start in generator.permutation(search.problem.size):
        here = int(start)
        if search.is_scored(here):
            continue
        score_new([here])
        while True:
            neighbours = list(search.problem.neighbours(here))
            score_new(neighbours)
            value, *others = search.values([here, *neighbours])
            if not max(others, default=-np.inf) > value:
                break
            here = neighbours[int(np.argmax(others))]


ALGORITHMS: Final[dict[str, Algorithm]] = {
    "sample": sample,
    "local-search": local_search,
    "random": random_search,
    "rea": regularised_evolution,
    "area": assisted_evolution,
}

SCORING: Final = ("sample", "local-search")
"""Algorithms that train nothing."""

USING_SCORES: Final = (*SCORING, "area")
"""Algorithms whose result depends on what architectures are scored by."""


def run(name: str, problem: Problem, budget: Budget, *, seed: int, number: int) -> Search:
    """Run an algorithm.

    Args:
        name: one of `ALGORITHMS`.
        problem, budget: what to search, and until when.
        seed, number: random seed, and number of the run. A run is the same however many others there are.
    """
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(number,))))
    search = Search(problem, budget)
    with suppress(BudgetSpentError):
        ALGORITHMS[name](search, generator)
        search.exhausted = True
    search.end()
    return search


def _draw(problem: Problem, generator: np.random.Generator, num: int) -> list[int]:
    return [int(n) for n in generator.choice(problem.size, min(num, problem.size), replace=False)]


def _evolve(search: Search, generator: np.random.Generator, first: Sequence[int]) -> None:
    population = deque((number, search.train(number)) for number in first)
    while True:
        drawn = generator.choice(len(population), min(TOURNAMENT, len(population)), replace=False)
        parent = max((population[int(i)] for i in drawn), key=lambda member: member[1])[0]
        neighbours = search.problem.neighbours(parent)
        child = neighbours[int(generator.integers(len(neighbours)))]
        population.append((child, search.train(child)))
        population.popleft()
