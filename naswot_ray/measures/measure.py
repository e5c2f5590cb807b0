"""`Measure`, and the decorator that makes one. To add a measure, add one file to this folder; nothing else has to change."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from naswot_ray.citation import Citation
from naswot_ray.measures.statistics import ForwardPass, Statistic


class Pass(StrEnum):
    """The kind of computation that an engine runs on a network and a batch; measures are taken from its results."""

    FORWARD = "forward"
    """One forward pass: signs and activations at the inputs of the live ReLUs."""


@dataclass(frozen=True)
class Tolerance:
    """How much two engines may differ in a value of a measure. The largest of the three bounds applies.

    Attributes:
        absolute: a fixed bound.
        relative: a bound as a fraction of the value.
        per_tensor: a bound that grows by this much with each tensor that the measure is taken from.
    """

    absolute: float = 0.0
    relative: float = 0.0
    per_tensor: float = 0.0

    def bound(self, value: float, num_tensors: int) -> float:
        """The largest difference allowed from `value`, which was taken from `num_tensors` tensors."""
        return max(self.absolute, self.relative * abs(value), self.per_tensor * num_tensors)


@dataclass(frozen=True)
class Bounds:
    """The range of a measure over all networks, weights and images.

    A value outside it cannot follow from the measure's formula, so `naswot-ray audit` reports it.

    Attributes:
        lowest: the smallest finite value.
        highest: a function from the number of images and the number of live ReLU units (the column `num_units`) to the largest
            value; None if no such bound is known.
        singular: whether the value is -inf when the network cannot tell the images apart.
    """

    lowest: float = -math.inf
    highest: Callable[[int, int], float] | None = None
    singular: bool = False


@dataclass(frozen=True)
class Measure:
    """A number that an untrained network gets on a batch. The decorator `measure` makes one.

    Attributes:
        name: the name of the measure, which is also its column and its name on the command line.
        version: a number that rises whenever a value changes by more than the tolerance.
        statistics: what the pass has to find for it.
        formula: the formula in one line.
        source: the publication, and its code.
        differs: how the number that the published code gives differs from this one; empty if it does not.
        weak: where the measure predicts accuracy badly, or is not defined.
        cost: what it costs in addition to the pass itself, in a few words.
        tolerance: how much engines may differ in float32.
        take: the function that computes the value.
        bounds: the range of its values; unlimited by default.
        citation: the publication to cite, as BibTeX; None leaves `source` as the only reference.
        taken_from: the pass that it is taken from.
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
    citation: Citation | None = None
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
    citation: Citation | None = None,
) -> Callable[[Callable[[ForwardPass], float]], Measure]:
    """Turn a function from `ForwardPass` to float into a measure with the name of the function.

    The arguments are described at the attributes of `Measure`.

    Example:
        >>> @measure(version=1, statistics=[Statistic.KERNELS], formula="log det K", ...)
        ... def naswot(forward: ForwardPass) -> float: ...
    """

    def decorate(take: Callable[[ForwardPass], float]) -> Measure:
        return Measure(
            name=take.__name__,
            version=version,
            statistics=frozenset(statistics),
            formula=formula,
            source=source,
            differs=differs,
            weak=weak,
            cost=cost,
            tolerance=tolerance,
            take=take,
            bounds=bounds,
            citation=citation,
        )

    return decorate


KERNEL_TOLERANCE: Final = Tolerance(absolute=1e-3)
"""For measures that are one log-determinant. On a GPU, networks that amplify rounding may differ more (docs/performance.md)."""


def _hadamard(num_images: int, num_units: int) -> float:
    """The largest log-determinant of a kernel, by Hadamard's inequality: every entry on its diagonal is `num_units`."""
    return num_images * math.log(num_units) if num_units > 0 else -math.inf


KERNEL_BOUNDS: Final = Bounds(lowest=0.0, highest=_hadamard, singular=True)
"""For measures that are one log-determinant: a determinant of integers that is not 0 is at least 1 in absolute value."""
