"""What a measure is. One file in this folder defines one measure; nothing else has to change to add it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from naswot_ray.measures.statistics import ForwardPass, Statistic


class Pass(StrEnum):
    """What an engine computes of a network on a batch so that measures can be taken of it."""

    FORWARD = "forward"
    """One forward pass: signs and activations at the inputs of the live ReLUs."""


@dataclass(frozen=True)
class Tolerance:
    """How far apart two engines' values of a measure may lie: the largest of the bounds.

    Attributes:
        absolute: bound by itself.
        relative: bound as a fraction of the value.
        per_tensor: bound for each tensor that the measure is taken from.
    """

    absolute: float = 0.0
    relative: float = 0.0
    per_tensor: float = 0.0

    def bound(self, value: float, num_tensors: int) -> float:
        """The largest difference from a value that was taken from so many tensors."""
        return max(self.absolute, self.relative * abs(value), self.per_tensor * num_tensors)


@dataclass(frozen=True)
class Bounds:
    """Between which values a measure lies, whatever the network, its weights and the images.

    A value that is out of bounds cannot have been computed as the measure says, so `naswot-ray audit` reports it.

    Attributes:
        lowest: the smallest finite value.
        highest: gives the largest value from the number of images and the number of live ReLU units (the column `num_units`);
            None where no such bound is known.
        singular: whether the value is -inf where the images cannot be told apart.
    """

    lowest: float = -math.inf
    highest: Callable[[int, int], float] | None = None
    singular: bool = False


@dataclass(frozen=True)
class Measure:
    """A number that an untrained network gets on a batch. Made by the decorator `measure`.

    Attributes:
        name: of the measure, of its column and on the command line.
        version: rises whenever a value changes by more than the tolerance.
        statistics: what the pass has to find for it.
        formula: one line.
        source: the publication, and its code.
        differs: how the published code's number differs from this one; empty where it does not.
        weak: where the measure predicts badly, or is not defined.
        cost: what it costs beside the pass itself, in a few words.
        tolerance: between engines in float32.
        take: the measure's function.
        bounds: between which values it lies; none by default.
        taken_from: the pass.
    """

    name: str
    version: int
    statistics: frozenset[Statistic]
    formula: str
    source: str
    differs: str
    weak: str
    cost: str
    tolerance: Tolerance
    take: Callable[[ForwardPass], float]
    bounds: Bounds = Bounds()
    taken_from: Pass = Pass.FORWARD

    def __call__(self, forward: ForwardPass) -> float:
        """The value for one network on one batch."""
        return self.take(forward)


def measure(
    *,
    version: int,
    statistics: Collection[Statistic],
    formula: str,
    source: str,
    differs: str,
    weak: str,
    cost: str,
    tolerance: Tolerance,
    bounds: Bounds = Bounds(),
) -> Callable[[Callable[[ForwardPass], float]], Measure]:
    """Make a measure of a function from `ForwardPass` to float. The measure is called like the function.

    Args: as the attributes of `Measure`.

    Example:
        >>> @measure(version=1, statistics=[Statistic.KERNELS], formula="log det K", ...)
        ... def naswot(forward: ForwardPass) -> float: ...
    """

    def decorate(take: Callable[[ForwardPass], float]) -> Measure:
        return Measure(
            take.__name__, version, frozenset(statistics), formula, source, differs, weak, cost, tolerance, take, bounds
        )

    return decorate


KERNEL_TOLERANCE: Final = Tolerance(absolute=1e-3)
"""Of scores that are one log-determinant; networks that enlarge rounding may differ by more on a GPU (docs/performance.md)."""


def _hadamard(num_images: int, num_units: int) -> float:
    """The determinant of a kernel is at most the product of its diagonal, on which every entry is `num_units`."""
    return num_images * math.log(num_units) if num_units > 0 else -math.inf


KERNEL_BOUNDS: Final = Bounds(lowest=0.0, highest=_hadamard, singular=True)
"""Of scores that are one log-determinant: the determinant of a matrix of integers is at least 1 where it is not 0."""
