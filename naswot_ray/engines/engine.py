"""What an engine is, and which there are.

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
"""Module and class of each engine; imported when first used, since each brings much that the others do not need."""

ENGINES: Final = tuple(_HOME)


class Scores(Mapping[str, float]):
    """What one network scores on one batch: the value of each measure, by its name.

    A measure that failed alone has no value: `scores[name]` raises what it failed with, and iteration leaves it out.

    Attributes:
        errors: name -> what a measure failed with, one line.
        num_units: N_A: live ReLU units with the multiplicities of the published code. diag(K) = N_A.
        num_units_paper: live ReLU units, each once.
        kernel: K with published multiplicities, shape (n, n), int64, if asked for.
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
        """`singular` where two images cannot be told apart, so that det K = 0 and a value is -inf."""
        return "singular" if any(map(math.isinf, self._values.values())) else "ok"


class Engine(ABC):
    """Runs networks on a batch and finds the statistics that measures are taken from.

    Attributes:
        name: one of `ENGINES`.
        dtypes: what its convolutions can multiply.
        dtype: what they multiply, one of `dtypes`.
        statistics: what it can find.
        max_group: how many networks `score_group` takes at once.
        note: what an operator should know of this engine on this machine.

    Raises:
        SettingsError: it has no such dtype, or cannot run on this machine.
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
            images: normalised, shape (n, *network.input_shape), float32.
            weights: gives each layer its weight.
            wanted: what to find, of `statistics`.

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
        """Score networks, at most `max_group`, on one batch: for each its scores, or what it failed with."""
        wanted = statistics_of(measures)
        return [
            self._score_or_error(network, images, w, measures, wanted) for network, w in zip(networks, weights, strict=True)
        ]

    def check_measures(self, measures: Iterable[Measure]) -> None:
        """Refuse measures that this engine cannot give.

        Raises:
            SettingsError: names the first of them, and the engine that can.
        """
        for one in measures:
            if missing := one.statistics - self.statistics:
                raise SettingsError(
                    f"engine {self.name} cannot give the measure {one.name}: it does not find {', '.join(sorted(missing))}; "
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
        except Exception as error:  # one network's failure is its own; the caller tells it from a device's
            return error


def statistics_of(measures: Iterable[Measure]) -> frozenset[Statistic]:
    """What a pass has to find so that measures can be taken of it."""
    return frozenset(statistic for one in measures for statistic in one.statistics)


def scores_of(
    network: Network, forward: ForwardPass, measures: Iterable[Measure], *, kernel: IntMatrix | None = None
) -> Scores:
    """The scores of a network whose statistics are known."""
    values, errors = values_of(forward, measures)
    return Scores(values, errors, num_units=network.num_units, num_units_paper=network.num_units_paper, kernel=kernel)


def values_of(forward: ForwardPass, measures: Iterable[Measure]) -> tuple[dict[str, float], dict[str, str]]:
    """Take measures: their values by name, and what went wrong. A measure that raises, or is NaN, fails alone."""
    values: dict[str, float] = {}
    errors: dict[str, str] = {}
    for one in measures:
        try:
            value = float(one(forward))
            if math.isnan(value):
                raise ArithmeticError("the value is NaN")
            values[one.name] = value
        except Exception as error:  # whatever a measure does must not cost the others
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
    """The engine of a name and dtype, one for the process.

    Raises:
        SettingsError: there is none of that name and dtype, or it cannot run on this machine.
    """
    if name not in ENGINES:
        raise SettingsError(f"unknown engine {name!r}; there are: {', '.join(ENGINES)}")
    module, class_name = _HOME[name]
    engine: Engine = getattr(import_module(module), class_name)(dtype)
    return engine


def default_engine(device: torch.device) -> str:
    """The engine for a device. `cuda` has to be asked for: it has been tested in Triton's interpreter alone."""
    return "exact" if device.type == "cuda" else "fast"


def able_engine(measures: Iterable[Measure]) -> str:
    """The name of the faster of the engines `fast` and `exact` that gives all of some measures."""
    wanted = statistics_of(measures)
    module, class_name = _HOME["fast"]
    able: frozenset[Statistic] = getattr(import_module(module), class_name).statistics
    return "fast" if wanted <= able else "exact"
