"""Searching with scores that are computed as the search goes on, in this process or several at a time elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from naswot_ray.dataset.schema import BASELINES
from naswot_ray.engines.engine import able_engine
from naswot_ray.engines.score import score
from naswot_ray.errors import SettingsError
from naswot_ray.measures import get_measures
from naswot_ray.search.criterion import Criterion
from naswot_ray.search.problem import Problem, Scored
from naswot_ray.search.simulation import SimulatedProblem
from naswot_ray.spaces import Space

Images = npt.NDArray[np.float32]


class Map(Protocol):
    """Applies a function to each item and gives the results in order: `map`, or one that has others compute them."""

    def __call__(self, function: Callable[[str], Scored], items: Iterable[str], /) -> Iterator[Scored]: ...


class LiveProblem(Problem):
    """A space whose architectures are scored when a search asks.

    Args:
        space: what is searched, whole.
        criterion: what architectures are scored by.
        images: the batch, shape (n, c, h, w), float32.
        seed: of the weights.
        known: the same space with the accuracies that a dataset knows; None if nothing is known, and nothing can be trained.
        mapping: applies a function to architectures, here or elsewhere.

    Raises:
        SettingsError: only a part of the space is known.
    """

    def __init__(
        self,
        space: Space,
        criterion: Criterion,
        images: Images,
        seed: int,
        known: SimulatedProblem | None = None,
        mapping: Map = map,
    ) -> None:
        self.size = len(space)
        if known is not None and known.size < self.size:
            raise SettingsError(
                f"the accuracies of {known.size:,} of the {self.size:,} architectures of {space.name} are known"
            )
        self.criterion = criterion
        self._space, self._known, self._map = space, known, mapping
        self._score = partial(_score, space, criterion, images, seed)

    def arch_id(self, number: int) -> str:
        return self._space[number]

    def score(self, number: int) -> Scored:
        return self._score(self._space[number])

    def score_all(self, numbers: Sequence[int]) -> Iterator[Scored]:
        return self._map(self._score, (self._space[number] for number in numbers))

    def train(self, number: int) -> tuple[float, float]:
        if self._known is None:
            raise SettingsError("nothing can be trained without a dataset that knows the accuracies")
        return self._known.train(number)

    def reported_accuracy(self, number: int) -> float | None:
        return None if self._known is None else self._known.reported_accuracy(number)

    def neighbours(self, number: int) -> Sequence[int]:
        return [self._space.index(arch_id) for arch_id in self._space.neighbours(self._space[number])]


def _score(space: Space, criterion: Criterion, images: Images, seed: int, arch_id: str) -> Scored:
    before = time.perf_counter()
    found: dict[str, float] = {}
    if criterion.measures:
        network = space.network(arch_id, input_shape=images.shape[1:])
        engine = able_engine(get_measures(criterion.measures))
        scores = score(network, images, seed=seed, measures=criterion.measures, engine=engine)
        found = {name: scores[name] for name in criterion.measures}
    if baselines := [part for part in criterion.parts if part in BASELINES]:
        trained = space.trained_network(arch_id)
        found |= {name: float(getattr(trained, name)) for name in baselines}
    return tuple(found[part] for part in criterion.parts), time.perf_counter() - before
