"""Searches of a made-up space: rings of architectures whose score is either as good as their accuracy or useless."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from naswot_ray.errors import SettingsError
from naswot_ray.search import algorithms
from naswot_ray.search.algorithms import ALGORITHMS, POPULATION, SCORING, WARM_START, run
from naswot_ray.search.criterion import Criterion, get_criterion
from naswot_ray.search.problem import Budget, BudgetSpentError, Problem, Scored, Search, Step

SIZE = 300
TRAINS = sorted(ALGORITHMS.keys() - set(SCORING))


class Ring(Problem):
    """Architecture i has the neighbours i - 1 and i + 1. There is one hill, and the score equals the accuracy."""

    def __init__(self, *, score_is: float = 1.0) -> None:
        self.size = SIZE
        self.criterion = Criterion("meco", ("meco",))
        self.accuracies = [100.0 - abs(i - 200) / 4 for i in range(SIZE)]
        self.scores = [score_is * a for a in self.accuracies]
        self.trained: list[int] = []
        self.scored: list[int] = []

    def arch_id(self, number: int) -> str:
        return f"a{number}"

    def score(self, number: int) -> Scored:
        self.scored.append(number)
        return (self.scores[number],), 0.5

    def train(self, number: int) -> tuple[float, float]:
        self.trained.append(number)
        return self.accuracies[number], 10.0

    def reported_accuracy(self, number: int) -> float:
        return self.accuracies[number] - 1

    def neighbours(self, number: int) -> Sequence[int]:
        return [(number - 1) % SIZE, (number + 1) % SIZE]


@pytest.mark.parametrize("name", SCORING)
@pytest.mark.parametrize("budget", [1, 2, 37])
def test_a_budget_of_scores_is_kept(name: str, budget: int) -> None:
    problem = Ring()
    search = run(name, problem, Budget(scores=budget), seed=0, number=0)
    assert len(problem.scored) == len(set(problem.scored)) == budget
    assert not problem.trained
    last = search.steps[-1]
    assert (last.num_scored, last.num_trained, last.seconds) == (budget, 0, 0.5 * budget)
    assert last.choice == max(problem.scored, key=problem.scores.__getitem__)


@pytest.mark.parametrize("name", TRAINS)
@pytest.mark.parametrize("budget", [1, 10, 57])
def test_a_budget_of_trainings_is_kept(name: str, budget: int) -> None:
    problem = Ring()
    last = run(name, problem, Budget(trainings=budget), seed=0, number=0).steps[-1]
    assert len(problem.trained) == last.num_trained == budget
    assert last.num_scored == len(problem.scored) == (WARM_START if name == "area" else 0)
    assert problem.accuracies[last.choice] == max(problem.accuracies[i] for i in problem.trained)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_budget_of_seconds_is_kept(name: str) -> None:
    last = run(name, Ring(), Budget(seconds=123.0), seed=0, number=0).steps[-1]
    assert last.seconds == pytest.approx(0.5 * last.num_scored + 10 * last.num_trained)
    assert 123 - (0.5 if name in SCORING else 10) < last.seconds <= 123


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_run_is_the_same_whatever_runs_beside_it(name: str) -> None:
    def steps(seed: int, number: int) -> list[Step]:
        return run(name, Ring(), Budget(scores=40, trainings=40), seed=seed, number=number).steps

    assert steps(0, 3) == steps(0, 3)
    assert steps(0, 3) != steps(0, 4)
    assert steps(0, 3) != steps(1, 3)


def test_a_sample_ends_with_the_best_score_of_it() -> None:
    problem = Ring(score_is=-1.0)
    search = run("sample", problem, Budget(scores=50), seed=0, number=0)
    assert search.steps[-1].choice == max(problem.scored, key=problem.scores.__getitem__)
    assert [s.num_scored for s in search.steps] == sorted(s.num_scored for s in search.steps)
    assert np.mean(problem.scored) == pytest.approx(SIZE / 2, abs=40)


def test_singular_architectures_rank_last() -> None:
    problem = Ring()
    problem.scores = [-math.inf] * SIZE
    problem.scores[7] = -5.0
    assert run("sample", problem, Budget(scores=SIZE), seed=0, number=0).steps[-1].choice == 7
    assert run("local-search", problem, Budget(scores=SIZE), seed=0, number=0).steps[-1].choice == 7


def test_local_search_climbs() -> None:
    problem = Ring()
    climbed = run("local-search", problem, Budget(scores=SIZE), seed=0, number=1).steps[-1].choice
    assert climbed == 200
    first, second = problem.scored[:2]
    assert second in problem.neighbours(first)


class Hill(Ring):
    """There are so many architectures that chance does not find the best. A change moves a little or far."""

    def __init__(self, *, score_is: float) -> None:
        super().__init__(score_is=score_is)
        self.size = 10_000
        self.accuracies = [100.0 - abs(i - 7000) / 100 for i in range(self.size)]
        self.scores = [score_is * a for a in self.accuracies]

    def neighbours(self, number: int) -> Sequence[int]:
        return [(number + sign * far) % self.size for sign in (-1, 1) for far in (1, 10, 100, 1000)]


def test_evolution_beats_random_search() -> None:
    def mean(name: str, score_is: float = 1.0) -> float:
        problem = Hill(score_is=score_is)
        runs = [run(name, problem, Budget(trainings=150), seed=0, number=i).steps[-1].choice for i in range(30)]
        return float(np.mean([problem.accuracies[choice] for choice in runs]))

    assert min(mean("area"), mean("rea")) > mean("random")
    assert len({mean("area"), mean("area", -1.0), mean("rea")}) == 3


def test_the_oldest_leaves_the_population() -> None:
    problem = Ring()
    problem.accuracies = [50.0] * SIZE
    first = set(problem.trained)
    run("rea", problem, Budget(trainings=POPULATION), seed=0, number=0)
    first = set(problem.trained)
    assert len(first) == POPULATION
    problem.trained.clear()
    run("rea", problem, Budget(trainings=400), seed=0, number=0)
    late = problem.trained[200:]
    near = {n for number in first for n in [number, *problem.neighbours(number)]}
    assert not set(late) <= near  # grandchildren of the children: nothing of the first population is left


def test_area_starts_with_the_best_by_score() -> None:
    problem = Ring()
    run("area", problem, Budget(trainings=POPULATION), seed=0, number=0)
    assert len(problem.scored) == WARM_START
    assert problem.trained == sorted(problem.scored, key=lambda i: -problem.scores[i])[:POPULATION]


def test_a_space_smaller_than_the_population() -> None:
    problem = Ring()
    problem.size = 5
    problem.neighbours = lambda number: [(number + 1) % 5]  # type: ignore[method-assign]
    assert len(run("rea", problem, Budget(trainings=20), seed=0, number=0).steps) > 0
    assert run("random", problem, Budget(trainings=20), seed=0, number=0).steps[-1].num_trained == 5
    assert run("local-search", problem, Budget(scores=20), seed=0, number=0).steps[-1].num_scored == 5


def test_scores_beyond_the_budget_are_not_computed() -> None:
    problem = Ring()
    search = Search(problem, Budget(scores=3))
    search.score_all([5, 6])
    assert search.values([6, 5]) == [problem.scores[6], problem.scores[5]]
    assert search.is_scored(5)
    with pytest.raises(BudgetSpentError):
        search.score_all([7, 8])
    assert problem.scored == [5, 6, 7]
    assert not search.is_scored(8)
    assert search.steps[-1] == Step(7, 3, 0, 1.5)


def test_training_counts_for_more_than_a_score() -> None:
    search = Search(Ring(), Budget())
    search.score_all([200])
    search.train(10)
    search.train(11)
    search.train(9)
    assert search.steps[-1].choice == 11
    assert algorithms.SCORING == ("sample", "local-search")


class Ranked(Ring):
    """Architectures with the three parts of a rank sum. The last part has ties."""

    def __init__(self) -> None:
        super().__init__()
        self.criterion = Criterion("log_rank_sum", ("meco", "naswot", "num_relus"))
        generator = np.random.default_rng(0)
        meco, naswot = generator.normal(size=(2, SIZE))
        self.parts = np.stack([meco, naswot, generator.integers(0, 5, SIZE)], axis=1)

    def score(self, number: int) -> Scored:
        self.scored.append(number)
        return tuple(self.parts[number].tolist()), 0.5

    def best_of(self, numbers: Sequence[int]) -> int:
        """Of some architectures, the first one that has the largest sum of logarithms of ranks."""
        ranks = stats.rankdata(self.parts[list(numbers)], axis=0)
        return numbers[int(np.argmax(np.log(ranks).sum(1)))]


def test_a_rank_sum_is_taken_among_the_architectures_that_a_run_has_scored() -> None:
    problem = Ranked()
    search = run("sample", problem, Budget(scores=60), seed=0, number=0)
    choices = [problem.best_of(problem.scored[:n]) for n in range(1, 61)]
    expected = [(n + 1, choice) for n, choice in enumerate(choices) if not n or choice != choices[n - 1]]
    assert [(step.num_scored, step.choice) for step in search.steps[:-1]] == expected
    assert search.steps[-1].choice == choices[-1]
    of_all = np.argsort(np.log(stats.rankdata(problem.parts, axis=0)).sum(1))
    of_few = search.values(problem.scored)
    assert [problem.scored[i] for i in np.argsort(of_few)] != [n for n in of_all if n in problem.scored]


def test_area_by_a_rank_sum_starts_with_the_best_among_those_drawn() -> None:
    problem = Ranked()
    run("area", problem, Budget(trainings=POPULATION), seed=0, number=0)
    assert len(problem.scored) == WARM_START
    assert problem.trained[0] == problem.best_of(problem.scored)
    sums = np.log(stats.rankdata(problem.parts[problem.scored], axis=0)).sum(1)
    assert problem.trained == [problem.scored[i] for i in np.argsort(-sums, kind="stable")[:POPULATION]]


def test_local_search_by_a_rank_sum_ends() -> None:
    problem = Ranked()
    search = run("local-search", problem, Budget(scores=2 * SIZE), seed=0, number=0)
    assert search.exhausted
    assert sorted(problem.scored) == list(range(SIZE))
    assert search.steps[-1].choice == problem.best_of(problem.scored)


def test_architectures_without_a_part_rank_last_and_are_in_no_rank() -> None:
    problem = Ranked()
    problem.parts[:, 0] = 1.0
    problem.parts[:, 1] = np.arange(SIZE)
    problem.parts[100:, 2] = np.nan
    search = run("sample", problem, Budget(scores=SIZE), seed=0, number=0)
    values = search.values(range(SIZE))
    assert set(values[100:]) == {-math.inf}
    assert np.isfinite(values[:100]).all()
    complete = np.log(stats.rankdata(problem.parts[:100], axis=0)).sum(1)
    assert values[:100] == pytest.approx(complete.tolist())


@pytest.mark.parametrize(
    ("name", "parts"), [("meco", ("meco",)), ("num_relus", ("num_relus",)), ("log_rank_sum", ("meco", "naswot", "num_relus"))]
)
def test_criteria(name: str, parts: tuple[str, ...]) -> None:
    criterion = get_criterion(name, ("naswot", "meco"))
    assert criterion == Criterion(name, parts)
    assert criterion.measures == tuple(part for part in parts if part != "num_relus")


def test_criteria_that_there_are_not() -> None:
    with pytest.raises(SettingsError, match=r"unknown measure 'mecco'; there are: naswot, meco, .*; did you mean meco\?"):
        get_criterion("mecco", ("naswot", "meco"))
    with pytest.raises(SettingsError, match="log_rank_sum is made of meco, naswot, num_relus; there is no measure meco"):
        get_criterion("log_rank_sum", ("naswot",))
