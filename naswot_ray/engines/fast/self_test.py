"""Whether a library computes what torch computes, on a network small enough to ask in every process."""

from __future__ import annotations

import ctypes
from math import prod

import numpy as np
import torch

from naswot_ray import philox
from naswot_ray.engines.fast import program_torch
from naswot_ray.engines.fast.program_native import NativeExecutor
from naswot_ray.engines.fast.weights import draw
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.measures.kernel import constant_kernels
from naswot_ray.network import Network, NetworkBuilder
from naswot_ray.network.graph import Initialisation

_IMAGE_SHAPE = (3, 12, 12)
_NUM_IMAGES = 18
"""A whole block of images and a part of one."""

_TOLERANCE = 1e-3
"""Fraction of the units by which two kernels may differ: those near zero, which another order of summation flips. What
computes wrongly is off by a tenth."""


def find_fault(library: ctypes.CDLL) -> str | None:
    """In what a library differs from torch, as what it does; None if it does not. Takes some milliseconds."""
    network = _network("kaiming_uniform")
    for other in (network, _network("normal_fan_out")):
        weights = SeededWeights(other, 0)
        expected = np.concatenate([weights(layer).numpy().reshape(-1) for layer in other.layers])
        drawn = np.zeros_like(expected)
        draw(library, weights, other.layers, drawn)
        if not np.array_equal(drawn, expected):
            return f"draws other weights than numpy ({other.initialisation})"
    count = _NUM_IMAGES * prod(_IMAGE_SHAPE)
    images = torch.from_numpy(philox.normal(("self-test",), count).reshape(_NUM_IMAGES, *_IMAGE_SHAPE))
    torchs, own = (constant_kernels(network.program.codes, _NUM_IMAGES) for _ in range(2))
    with torch.autocast("cpu", enabled=False):  # of a caller, which would round what torch computes
        program_torch.execute(network.program, images, SeededWeights(network, 0), torchs)
    NativeExecutor(library).execute(network.program, images, SeededWeights(network, 0), own)
    far = max(abs(own.published - torchs.published).max(), abs(own.paper - torchs.paper).max())
    if far > _TOLERANCE * network.num_units:
        return f"computes other kernels than torch: they differ by up to {far:,} of {network.num_units:,} units"
    return None


def _network(initialisation: Initialisation) -> Network:
    """Every kind of instruction, and every kind of convolution that kernels.cpp tells apart."""
    b = NetworkBuilder(_IMAGE_SHAPE)
    x = b.relu(b.batch_norm(b.conv(b.input, 16, 3, padding=1)))
    x = b.relu(b.batch_norm(b.conv(x, 16, 3, padding=1)), multiplicity=2)  # Winograd's on tiles of 4
    x = b.relu(b.batch_norm(b.conv(x, 16, 3, padding=1, groups=16)))
    x = b.add(b.avg_pool(x, 3, stride=2, padding=1), b.max_pool(b.shift(x), 3, stride=2, padding=1))
    x = b.relu(b.batch_norm(b.conv(x, 16, 3, padding=1)))  # on tiles of 2
    x = b.concat(b.conv(x, 8, 1), b.conv(x, 8, 5, padding=2, groups=2))
    return b.build(b.relu(b.batch_norm(x)), arch_id="self-test", initialisation=initialisation)
