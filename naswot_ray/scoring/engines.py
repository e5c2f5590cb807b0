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
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Final, Literal

import torch

from naswot_ray.errors import SettingsError
from naswot_ray.network import Network
from naswot_ray.scoring.kernel import IntMatrix, Kernels, log_det
from naswot_ray.scoring.weights import WeightSource

_HOME: Final = {
    "exact": ("naswot_ray.scoring.exact", "ExactEngine"),
    "fast": ("naswot_ray.scoring.fast.engine", "FastEngine"),
    "cuda": ("naswot_ray.scoring.cuda.engine", "CudaEngine"),
}
"""Module and class of each engine; imported when first used, since each brings much that the others do not need."""

ENGINES: Final = tuple(_HOME)


@dataclass(frozen=True)
class Score:
    """What one network scores on one batch.

    Attributes:
        score: log|det K| with the multiplicities of the published code; -inf where K is singular.
        score_paper: the same with every counted ReLU once (the paper's formula).
        num_units: N_A of `score`: ReLU units with multiplicities. diag(K) = N_A.
        num_units_paper: N_A of `score_paper`.
        kernel: K of `score`, shape (n, n), int64, if asked for; engine `cuda` gives none for groups.
    """

    score: float
    score_paper: float
    num_units: int
    num_units_paper: int
    kernel: IntMatrix | None = field(default=None, repr=False)

    @property
    def status(self) -> Literal["ok", "singular"]:
        """`singular` where two images cannot be told apart, so that det K = 0."""
        return "singular" if math.isinf(self.score) else "ok"


class Engine(ABC):
    """Runs networks on a batch and takes their kernels.

    Attributes:
        name: one of `ENGINES`.
        dtypes: what its convolutions can multiply.
        dtype: what they multiply, one of `dtypes`.
        max_group: how many networks `score_group` takes at once.
        note: what an operator should know of this engine on this machine.

    Raises:
        SettingsError: it has no such dtype, or cannot run on this machine.
    """

    name: str
    dtypes: tuple[str, ...] = ("float32",)
    max_group: int = 1
    note: str | None = None

    def __init__(self, dtype: str = "float32") -> None:
        if dtype not in self.dtypes:
            raise SettingsError(f"engine {self.name} has no dtype {dtype!r}; it has: {', '.join(self.dtypes)}")
        self.dtype = dtype

    @abstractmethod
    def compute_kernels(self, network: Network, images: torch.Tensor, weights: WeightSource) -> Kernels:
        """Run a network on a batch and take its kernels.

        Args:
            network: the architecture.
            images: normalised, shape (n, *network.input_shape), float32.
            weights: gives each layer its weight.

        Raises:
            ValueError: the images do not have the network's input shape.
        """

    def score_group(
        self, networks: Sequence[Network], images: torch.Tensor, weights: Sequence[WeightSource]
    ) -> list[Score | Exception]:
        """Score networks, at most `max_group`, on one batch: for each its score, or what it failed with."""
        return [self._score_or_error(network, images, w) for network, w in zip(networks, weights, strict=True)]

    def _score_or_error(self, network: Network, images: torch.Tensor, weights: WeightSource) -> Score | Exception:
        try:
            return score_of(network, self.compute_kernels(network, images, weights))
        except Exception as error:  # one network's failure is its own; the caller tells it from a device's
            return error


def score_of(network: Network, kernels: Kernels) -> Score:
    """The score of a network whose kernels are known."""
    return Score(
        score=log_det(kernels.published),
        score_paper=log_det(kernels.paper),
        num_units=network.num_units,
        num_units_paper=network.num_units_paper,
        kernel=kernels.published,
    )


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
