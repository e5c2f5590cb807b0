"""Searching with scores that are computed as the search goes on, on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from naswot_ray.errors import SettingsError
from naswot_ray.scoring.engines import Engine
from naswot_ray.scoring.score import score
from naswot_ray.search.problem import Problem
from naswot_ray.search.simulated import SimulatedProblem
from naswot_ray.spaces import Space


class LiveProblem(Problem):
    """A space whose architectures are scored when a search asks.

    Args:
        space: what is searched, whole.
        images: the batch, shape (n, c, h, w), float32.
        seed: of the weights.
        engine: what scores.
        known: the same space with the accuracies that a dataset knows; None if nothing is known, and nothing can be trained.

    Raises:
        SettingsError: only a part of the space is known.
    """

    def __init__(
        self,
        space: Space,
        images: npt.NDArray[np.float32],
        seed: int,
        engine: Engine,
        known: SimulatedProblem | None = None,
    ) -> None:
        self.size = len(space)
        if known is not None and known.size < self.size:
            raise SettingsError(
                f"the accuracies of {known.size:,} of the {self.size:,} architectures of {space.name} are known"
            )
        self._space, self._images, self._seed, self._engine, self._known = space, images, seed, engine, known

    def arch_id(self, number: int) -> str:
        return self._space[number]

    def score(self, number: int) -> tuple[float, float]:
        before = time.perf_counter()
        network = self._space.network(self._space[number], input_shape=self._images.shape[1:])
        found = score(network, self._images, seed=self._seed, engine=self._engine).score
        return found, time.perf_counter() - before

    def train(self, number: int) -> tuple[float, float]:
        if self._known is None:
            raise SettingsError("nothing can be trained without a dataset that knows the accuracies")
        return self._known.train(number)

    def reported_accuracy(self, number: int) -> float | None:
        return None if self._known is None else self._known.reported_accuracy(number)

    def neighbours(self, number: int) -> Sequence[int]:
        return [self._space.index(arch_id) for arch_id in self._space.neighbours(self._space[number])]
