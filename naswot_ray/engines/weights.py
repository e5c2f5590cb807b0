"""The weights of an untrained network: a pure function of (seed, arch_id, layer).

A weight source gives each layer its tensors; `SeededWeights` is the product's own, the parity tests bring others.
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
"""Part of a dataset's settings; a change of anything below that changes a drawn bit needs a new name."""


class WeightSource(Protocol):
    """Gives a layer its weight, shape `layer.weight_shape`, float32, CPU. Biases enter no code and are never asked for."""

    def __call__(self, layer: ops.Weighted) -> torch.Tensor: ...


class SeededWeights:
    """The published initialisation of the network's space, drawn from the stream (seed, arch_id; layer).

    Batch normalisation has weight 1 and bias 0 in every space.

    Attributes:
        purpose: of the random numbers; a layer's number is that of its stream.
        initialisation: the network's.
    """

    def __init__(self, network: Network, seed: int) -> None:
        self.purpose: philox.Purpose = ("weights", WEIGHTS_VERSION, seed, network.arch_id)
        self.initialisation = network.initialisation

    def __call__(self, layer: ops.Weighted) -> torch.Tensor:
        import torch  # noqa: PLC0415  a driver needs the version alone

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
        """The bound of a layer's uniform distribution, or the standard deviation of its normal one."""
        shape = layer.weight_shape
        match self.initialisation:
            case "kaiming_uniform":
                return float(prod(shape[1:]) ** -0.5)
            case "normal_fan_out":
                return float((2 / (prod(shape[2:]) * shape[0])) ** 0.5)
