"""The weights of an untrained network: a pure function of (seed, arch_id, layer).

A weight source gives each layer its tensors; `SeededWeights` is the product's own, the parity tests bring others.
"""

from __future__ import annotations

from math import prod
from typing import Protocol

import numpy as np
import torch

from naswot_ray.network import Network, ops
from naswot_ray.scoring import random

WEIGHTS_VERSION = "philox4x64-1"
"""Part of a dataset's settings; a change of anything below that changes a drawn bit needs a new name."""


class WeightSource(Protocol):
    """Gives a layer its weight, shape `layer.weight_shape`, float32, CPU. Biases enter no code and are never asked for."""

    def __call__(self, layer: ops.Weighted) -> torch.Tensor: ...


class SeededWeights:
    """The published initialisation of the network's space, drawn from the stream (seed, arch_id; layer).

    Batch normalisation has weight 1 and bias 0 in every space.
    """

    def __init__(self, network: Network, seed: int) -> None:
        self._purpose = ("weights", WEIGHTS_VERSION, seed, network.arch_id)
        self._initialisation = network.initialisation

    def __call__(self, layer: ops.Weighted) -> torch.Tensor:
        shape = layer.weight_shape
        match self._initialisation:
            case "kaiming_uniform":
                bound = prod(shape[1:]) ** -0.5
                drawn = random.uniform(self._purpose, prod(shape), bound=bound, stream=layer.layer)
            case "normal_fan_out":
                drawn = random.normal(self._purpose, prod(shape), stream=layer.layer)
                drawn *= np.float32((2 / (prod(shape[2:]) * shape[0])) ** 0.5)
        return torch.from_numpy(drawn).view(shape)
