"""Searching with scores that are computed as the search goes on, in this process or several at a time elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from naswot_ray.engines.engine import get_engine
from naswot_ray.engines.score import score
from naswot_ray.errors import SettingsError
from naswot_ray.search.problem import Problem
from naswot_ray.search.simulation import SimulatedProblem
from naswot_ray.spaces import Space

ENGINE: Final = "fast"

Images = npt.NDArray[np.float32]


class Map(Protocol):
    """Applies a function to each item and gives the results in order: `map`, or one that has others compute them."""

    def __call__(
        self, function: Callable[[str], tuple[float, float]], items: Iterable[str], /
    ) -> Iterator[tuple[float, float]]: ...


class LiveProblem(Problem):
    """A space whose architectures are scored when a search asks.

    Args:
        space: what is searched, whole.
        images: the batch, shape (n, c, h, w), float32.
        seed: of the weights.
        known: the same space with the accuracies that a dataset knows; None if nothing is known, and nothing can be trained.
        mapping: what has architectures scored.

    Raises:
        SettingsError: only a part of the space is known.
    """

    def __init__(
        self, space: Space, images: Images, seed: int, known: SimulatedProblem | None = None, mapping: Map = map
    ) -> None:
        self.size = len(space)
        if known is not None and known.size < self.size:
            raise SettingsError(
                f"the accuracies of {known.size:,} of the {self.size:,} architectures of {space.name} are known"
            )
        self._space, self._known, self._map = space, known, mapping
        self._score = partial(_score, space, images, seed)

    def arch_id(self, number: int) -> str:
        return self._space[number]

    def score(self, number: int) -> tuple[float, float]:
        return self._score(self._space[number])

    def score_all(self, numbers: Sequence[int]) -> Iterator[tuple[float, float]]:
        return self._map(self._score, (self._space[number] for number in numbers))

    def train(self, number: int) -> tuple[float, float]:
        if self._known is None:
            raise SettingsError("nothing can be trained without a dataset that knows the accuracies")
        return self._known.train(number)

    def reported_accuracy(self, number: int) -> float | None:
        return None if self._known is None else self._known.reported_accuracy(number)

    def neighbours(self, number: int) -> Sequence[int]:
        return [self._space.index(arch_id) for arch_id in self._space.neighbours(self._space[number])]


def _score(space: Space, images: Images, seed: int, arch_id: str) -> tuple[float, float]:
    before = time.perf_counter()
    network = space.network(arch_id, input_shape=images.shape[1:])
    found = score(network, images, seed=seed, engine=get_engine(ENGINE))["naswot"]
    return found, time.perf_counter() - before
