"""The search algorithms. Each is a function of a search and a random generator, and goes on until the budget is spent."""

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
"""Of regularised evolution, as in the scripts of NATS-Bench (Dong et al., TPAMI 2021)."""

WARM_START: Final = 20
"""Architectures of which AREA scores all and starts with the best (Mellor et al. 2021, section 4.3)."""


def random_search(search: Search, generator: np.random.Generator) -> None:
    """Train architectures in random order."""
    for number in generator.permutation(search.problem.size):
        search.train(int(number))


def naswot(search: Search, generator: np.random.Generator) -> None:
    """Score architectures in random order and take the best (Mellor et al. 2021, algorithm 1). Nothing is trained."""
    search.score_all(generator.permutation(search.problem.size).tolist())


def regularised_evolution(search: Search, generator: np.random.Generator) -> None:
    """REA (Real et al., AAAI 2019): the best of a few changes in one place and joins, the oldest leaves."""
    _evolve(search, generator, _draw(search.problem, generator, POPULATION))


def assisted_evolution(search: Search, generator: np.random.Generator) -> None:
    """AREA (Mellor et al. 2021): REA that starts with the best by score of `WARM_START` random architectures."""
    drawn = _draw(search.problem, generator, WARM_START)
    scores = dict(zip(drawn, search.score_all(drawn), strict=True))
    _evolve(search, generator, sorted(drawn, key=lambda number: -scores[number])[:POPULATION])


def local_search(search: Search, generator: np.random.Generator) -> None:
    """Climb the score: from a random architecture to its best neighbour until none is better, then from another one.

    An algorithm of this project. Nothing is trained, and no architecture is scored twice.
    """
    scores: dict[int, float] = {}

    def score_all(numbers: Sequence[int]) -> None:
        fresh = [number for number in dict.fromkeys(numbers) if number not in scores]
        scores.update(zip(fresh, search.score_all(fresh), strict=True))

    for start in generator.permutation(search.problem.size):
        here = int(start)
        if here in scores:
            continue
        score_all([here])
        while True:
            neighbours = search.problem.neighbours(here)
            score_all(neighbours)
            best = max(neighbours, key=scores.__getitem__, default=here)
            if not scores[best] > scores[here]:
                break
            here = best


ALGORITHMS: Final[dict[str, Algorithm]] = {
    "naswot": naswot,
    "local-search": local_search,
    "random": random_search,
    "rea": regularised_evolution,
    "area": assisted_evolution,
}

SCORING: Final = ("naswot", "local-search")
"""Algorithms that train nothing."""


def run(name: str, problem: Problem, budget: Budget, *, seed: int, number: int) -> Search:
    """Run an algorithm.

    Args:
        name: one of `ALGORITHMS`.
        problem, budget: what to search, and until when.
        seed, number: of the random numbers: run `number` is the same however many runs there are.
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
