"""The weights of an untrained network, as a pure function of the seed, the arch_id and the layer.

A weight source gives each layer its weight. Scoring uses `SeededWeights`; the parity tests use others.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Protocol

import numpy as np

from naswot_ray import philox
from naswot_ray.network import Network, ops

if TYPE_CHECKING:
    import torch

WEIGHTS_VERSION = "philox4x64-1"
"""How weights are drawn; part of the settings of a dataset. A change below that alters any bit needs a new name."""


class WeightSource(Protocol):
    """Gives a layer its weight, shape `layer.weight_shape`, float32, on the CPU. Biases affect no code and are never needed."""

    def __call__(self, layer: ops.Weighted) -> torch.Tensor: ...


class SeededWeights:
    """Random weights with the published initialisation of the space, keyed by seed, arch_id and layer.

    Batch normalisation has weight 1 and bias 0 in every space.

    Attributes:
        purpose: the key of the random numbers. Each layer has a stream of its own, with the number of the layer.
        initialisation: the distribution, as in the network.
    """

    def __init__(self, network: Network, seed: int) -> None:
        self.purpose: philox.Purpose = ("weights", WEIGHTS_VERSION, seed, network.arch_id)
        self.initialisation = network.initialisation

    def __call__(self, layer: ops.Weighted) -> torch.Tensor:
        import torch  # noqa: PLC0415  a driver needs only WEIGHTS_VERSION

        shape = layer.weight_shape
        scale = self.scale(layer)
        match self.initialisation:
            case "kaiming_uniform":
                drawn = philox.uniform(self.purpose, prod(shape), bound=scale, stream=layer.layer)
            case "normal_fan_out":
                drawn = philox.normal(self.purpose, prod(shape), stream=layer.layer)
                drawn *= np.float32(scale)
        return torch.from_numpy(drawn).view(shape)

    def scale(self, layer: ops.Weighted) -> float:
        """The bound of the uniform distribution of a layer, or the standard deviation of its normal distribution."""
        shape = layer.weight_shape
        match self.initialisation:
            case "kaiming_uniform":
                return float(prod(shape[1:]) ** -0.5)
            case "normal_fan_out":
                return float((2 / (prod(shape[2:]) * shape[0])) ** 0.5)
