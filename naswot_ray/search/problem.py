"""What a search algorithm may ask: scores, trainings, and which architectures are one change away.

Architectures are numbers below `Problem.size`. Nothing here knows where scores come from; see `simulation` and `live_scores`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from naswot_ray.search.criterion import Array, Criterion

Scored = tuple[tuple[float, ...], float]
"""The parts of the criterion that an architecture has, NaN for one that it lacks, and the seconds that scoring it costs."""


class Problem(ABC):
    """A space to search.

    Attributes:
        size: number of architectures.
        criterion: what architectures are scored by.
    """

    size: int
    criterion: Criterion

    @abstractmethod
    def arch_id(self, number: int) -> str:
        """The name of an architecture."""

    @abstractmethod
    def score(self, number: int) -> Scored:
        """Score an architecture: what the criterion needs of it."""

    def score_all(self, numbers: Sequence[int]) -> Iterator[Scored]:
        """What `score` says of some, in their order; a problem may compute several at a time."""
        return map(self.score, numbers)

    @abstractmethod
    def train(self, number: int) -> tuple[float, float]:
        """The accuracy in percent that an architecture is selected by, and the seconds that its training costs.

        Raises:
            SettingsError: the problem has no such accuracies.
        """

    @abstractmethod
    def reported_accuracy(self, number: int) -> float | None:
        """The test accuracy in percent, which no algorithm sees; None if it is not known."""

    @abstractmethod
    def neighbours(self, number: int) -> Sequence[int]:
        """The architectures that are one elementary change away.

        Raises:
            SettingsError: they are not all there.
        """


@dataclass(frozen=True)
class Budget:
    """When a search ends: as soon as one more scoring or training would exceed any of these.

    Attributes:
        scores: architectures scored.
        trainings: architectures trained.
        seconds: of scoring and training together.
    """

    scores: int | None = None
    trainings: int | None = None
    seconds: float | None = None


class BudgetSpentError(Exception):
    """A search has used its budget."""


@dataclass(frozen=True, slots=True)
class Step:
    """The state of a search when its choice changed, and at its end.

    Attributes:
        choice: the architecture that the search would return.
        num_scored, num_trained, seconds: spent so far.
    """

    choice: int
    num_scored: int
    num_trained: int
    seconds: float


@dataclass
class Search:
    """One run of an algorithm: spends the budget, and keeps the best of what it has seen.

    The choice is the architecture with the highest accuracy among those trained or, where none was trained, the best by the
    problem's criterion among those scored; of equals the first.

    Attributes:
        problem, budget: see there.
        steps: the history.
        exhausted: whether the algorithm ended because nothing was left, before the budget was spent.
    """

    problem: Problem
    budget: Budget
    steps: list[Step] = field(default_factory=list)
    exhausted: bool = False
    _num_trained: int = 0
    _seconds: float = 0.0
    _best_accuracy: float | None = None
    _scored: list[int] = field(default_factory=list)
    _place: dict[int, int] = field(default_factory=dict)
    _parts_ap: Array = field(default_factory=lambda: np.empty((0, 0)))

    def score_all(self, numbers: Sequence[int]) -> None:
        """Score architectures, which may happen several at a time; they count in their order.

        Raises:
            BudgetSpentError: they exceed the budget; those within it were scored.
        """
        within = numbers if self.budget.scores is None else numbers[: self.budget.scores - len(self._scored)]
        for number, (parts, seconds) in zip(within, self.problem.score_all(within), strict=True):
            self._check(scores=1, seconds=seconds)
            self._seconds += seconds
            self._keep(number, parts)
            if self._best_accuracy is None:
                choice = self._scored[int(np.argmax(self._values()))]
                if not self.steps or choice != self.steps[-1].choice:
                    self._note(choice)
        if len(within) < len(numbers):
            raise BudgetSpentError

    def values(self, numbers: Sequence[int]) -> list[float]:
        """The values of some architectures that have been scored, among all that have been scored so far."""
        values_a = self._values()
        return [float(values_a[self._place[number]]) for number in numbers]

    def is_scored(self, number: int) -> bool:
        """Whether an architecture has been scored."""
        return number in self._place

    def train(self, number: int) -> float:
        """Train an architecture; its accuracy in percent.

        Raises:
            BudgetSpentError: that would exceed the budget.
        """
        self._check(trainings=1)
        accuracy, seconds = self.problem.train(number)
        self._check(trainings=1, seconds=seconds)
        self._num_trained += 1
        self._seconds += seconds
        if self._best_accuracy is None or accuracy > self._best_accuracy:
            self._best_accuracy = accuracy
            self._note(number)
        return accuracy

    def end(self) -> None:
        """Note what was spent in all."""
        if self.steps:
            self._note(self.steps[-1].choice)

    def _check(self, *, scores: int = 0, trainings: int = 0, seconds: float = 0.0) -> None:
        limits = (
            (self.budget.scores, len(self._scored) + scores),
            (self.budget.trainings, self._num_trained + trainings),
            (self.budget.seconds, self._seconds + seconds),
        )
        if any(limit is not None and spent > limit for limit, spent in limits):
            raise BudgetSpentError

    def _keep(self, number: int, parts: Sequence[float]) -> None:
        place = len(self._scored)
        if place == len(self._parts_ap):  # the array doubles: a run may score a whole space, one architecture at a time
            grown = np.empty((2 * place + 1, len(parts)))
            grown[:place] = self._parts_ap.reshape(place, len(parts))
            self._parts_ap = grown
        self._parts_ap[place] = parts
        self._place[number] = place
        self._scored.append(number)

    def _values(self) -> Array:
        return self.problem.criterion.values(self._parts_ap[: len(self._scored)])

    def _note(self, choice: int) -> None:
        self.steps.append(Step(choice, len(self._scored), self._num_trained, self._seconds))
