"""Fills in the weights for kernels.cpp, all layers end to end. Weights that come from a seed are drawn by kernels.cpp."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from naswot_ray import philox
from naswot_ray.engines.weights import SeededWeights, WeightSource
from naswot_ray.network import ops


def draw(library: ctypes.CDLL, weights: WeightSource, layers: Sequence[ops.Weighted], to: npt.NDArray[np.float32]) -> None:
    """Write the weights of layers, each flat, one after the other, to `to`, which must have room for them."""
    if isinstance(weights, SeededWeights):
        _draw_seeded(library, weights, layers, to)
        return
    at = 0
    for layer in layers:
        weight = weights(layer).detach().numpy().reshape(-1)
        to[at : at + weight.size] = weight
        at += weight.size


def _draw_seeded(
    library: ctypes.CDLL, weights: SeededWeights, layers: Sequence[ops.Weighted], to: npt.NDArray[np.float32]
) -> None:
    key = tuple(philox.key_of(weights.purpose).tolist())
    place = to.ctypes.data
    for layer in layers:
        count = prod(layer.weight_shape)
        match weights.initialisation:
            case "kaiming_uniform":
                library.naswot_draw_uniform(*key, layer.layer, count, weights.scale(layer) * philox.UNIFORM_UNIT, place)
            case "normal_fan_out":
                quantiles = philox.normal_quantiles().ctypes.data
                library.naswot_draw_normal(*key, layer.layer, count, weights.scale(layer), quantiles, place)
        place += to.itemsize * count
