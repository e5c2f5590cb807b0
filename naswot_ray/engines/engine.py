"""`Engine`: what an engine offers, the engines that exist, and the scores that they return.

| engine | runs on | agrees with the published code |
|---|---|---|
| exact | CPU or GPU, plain torch operations | K bit by bit, on a CPU |
| fast | CPU | score within 1e-3 |
| cuda | GPU | score within 1e-3 in float32; less in tf32 and bfloat16 |
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Final, Literal

import torch

from naswot_ray.engines.weights import WeightSource
from naswot_ray.errors import MeasureError, SettingsError
from naswot_ray.measures.kernel import IntMatrix
from naswot_ray.measures.measure import Measure
from naswot_ray.measures.statistics import ForwardPass, Statistic
from naswot_ray.network import Network

_HOME: Final = {
    "exact": ("naswot_ray.engines.exact", "ExactEngine"),
    "fast": ("naswot_ray.engines.fast.engine", "FastEngine"),
    "cuda": ("naswot_ray.engines.cuda.engine", "CudaEngine"),
}
"""Module and class of each engine. It is imported when first used, because each imports much that the others do not need."""

ENGINES: Final = tuple(_HOME)


class Scores(Mapping[str, float]):
    """The scores of one network on one batch: a mapping from the name of each measure to its value.

    A measure that failed has no value: `scores[name]` raises `MeasureError`, and iteration skips it.

    Attributes:
        errors: for each measure that failed, its name and the reason in one line.
        num_units: N_A, the number of live ReLU units with the multiplicities of the published code; diag(K) = N_A.
        num_units_paper: the number of live ReLU units, each counted once.
        kernel: K with the published multiplicities, shape (n, n), int64; None if it was not asked for.
    """

    def __init__(
        self,
        values: Mapping[str, float],
        errors: Mapping[str, str],
        *,
        num_units: int,
        num_units_paper: int,
        kernel: IntMatrix | None = None,
    ) -> None:
        self._values = dict(values)
        self.errors = dict(errors)
        self.num_units = num_units
        self.num_units_paper = num_units_paper
        self.kernel = kernel

    def __getitem__(self, name: str) -> float:
        if name in self.errors:
            raise MeasureError(f"{name}: {self.errors[name]}")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Scores({self._values}, num_units={self.num_units}{f', errors={self.errors}' if self.errors else ''})"

    @property
    def status(self) -> Literal["ok", "singular"]:
        """`singular` if a value is -inf: det K = 0, most often because the network cannot tell two images apart."""
        return "singular" if any(map(math.isinf, self._values.values())) else "ok"


class Engine(ABC):
    """Runs networks on a batch and computes the statistics that measures are taken from.

    Attributes:
        name: one of `ENGINES`.
        dtypes: the number formats in which its convolutions can multiply.
        dtype: the one of `dtypes` in which they do.
        statistics: the statistics that it can compute.
        max_group: how many networks `score_group` accepts at once.
        note: what an operator should know about this engine on this machine; None if there is nothing.

    Raises:
        SettingsError: the engine has no such dtype, or cannot run on this machine.
    """

    name: str
    dtypes: tuple[str, ...] = ("float32",)
    statistics: frozenset[Statistic]
    max_group: int = 1
    note: str | None = None

    def __init__(self, dtype: str = "float32") -> None:
        if dtype not in self.dtypes:
            raise SettingsError(f"engine {self.name} has no dtype {dtype!r}; it has: {', '.join(self.dtypes)}")
        self.dtype = dtype

    @abstractmethod
    def run_forward(
        self, network: Network, images: torch.Tensor, weights: WeightSource, wanted: Collection[Statistic]
    ) -> ForwardPass:
        """Run a network on a batch.

        Args:
            network: the architecture.
            images: normalised images, shape (n, *network.input_shape), float32.
            weights: gives each layer its weight.
            wanted: the statistics to compute, a subset of `statistics`.

        Raises:
            ValueError: the images do not have the network's input shape.
        """

    def score_group(
        self,
        networks: Sequence[Network],
        images: torch.Tensor,
        weights: Sequence[WeightSource],
        measures: Sequence[Measure],
    ) -> list[Scores | Exception]:
        """Score up to `max_group` networks on one batch. The result has the scores of each, or the exception it failed with."""
        wanted = statistics_of(measures)
        return [
            self._score_or_error(network, images, w, measures, wanted) for network, w in zip(networks, weights, strict=True)
        ]

    def check_measures(self, measures: Iterable[Measure]) -> None:
        """Refuse measures that this engine cannot compute.

        Raises:
            SettingsError: there is such a measure; the message names the first one, and the engine that can compute it.
        """
        for one in measures:
            if missing := one.statistics - self.statistics:
                raise SettingsError(
                    f"engine {self.name} cannot compute the measure {one.name}, which needs {', '.join(sorted(missing))}; "
                    "use engine exact"
                )

    def _score_or_error(
        self,
        network: Network,
        images: torch.Tensor,
        weights: WeightSource,
        measures: Sequence[Measure],
        wanted: Collection[Statistic],
    ) -> Scores | Exception:
        try:
            return scores_of(network, self.run_forward(network, images, weights, wanted), measures)
        except Exception as error:  # the other networks go on; the caller decides whether the device itself has failed
            return error


def statistics_of(measures: Iterable[Measure]) -> frozenset[Statistic]:
    """The statistics that a pass has to compute for some measures."""
    return frozenset(statistic for one in measures for statistic in one.statistics)


def scores_of(
    network: Network, forward: ForwardPass, measures: Iterable[Measure], *, kernel: IntMatrix | None = None
) -> Scores:
    """The scores of a network, from its statistics."""
    values, errors = values_of(forward, measures)
    return Scores(values, errors, num_units=network.num_units, num_units_paper=network.num_units_paper, kernel=kernel)


def values_of(forward: ForwardPass, measures: Iterable[Measure]) -> tuple[dict[str, float], dict[str, str]]:
    """Compute measures. Returns the values by name, and the errors by name of measures that raised or gave NaN."""
    values: dict[str, float] = {}
    errors: dict[str, str] = {}
    for one in measures:
        try:
            value = float(one(forward))
            if math.isnan(value):
                raise ArithmeticError("the value is NaN")
            values[one.name] = value
        except Exception as error:  # one measure that fails must not take the others with it
            errors[one.name] = f"{type(error).__name__}: {error}"
    return values, errors


def check_shape(network: Network, images: torch.Tensor) -> None:
    """Raises:
    ValueError: the images do not have the network's input shape.
    """
    if tuple(images.shape[1:]) != network.input_shape:
        raise ValueError(f"images of shape {tuple(images.shape[1:])} for a network that takes {network.input_shape}")


@cache
def get_engine(name: str, dtype: str = "float32") -> Engine:
    """The engine with this name and dtype. Each is created only once in a process.

    Raises:
        SettingsError: there is no such engine or dtype, or the engine cannot run on this machine.
    """
    if name not in ENGINES:
        raise SettingsError(f"unknown engine {name!r}; there are: {', '.join(ENGINES)}")
    module, class_name = _HOME[name]
    engine: Engine = getattr(import_module(module), class_name)(dtype)
    return engine


def default_engine(device: torch.device) -> str:
    """The default engine for a device. `cuda` is never the default, because it was tested only in Triton's interpreter."""
    return "exact" if device.type == "cuda" else "fast"


def able_engine(measures: Iterable[Measure]) -> str:
    """The name of the faster of the engines `fast` and `exact` that gives all of some measures."""
    wanted = statistics_of(measures)
    module, class_name = _HOME["fast"]
    able: frozenset[Statistic] = getattr(import_module(module), class_name).statistics
    return "fast" if wanted <= able else "exact"
