"""Tests whether a library computes what torch computes, on a network small enough to do so in every process."""

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
from naswot_ray.measures.expressivity import expressivity
from naswot_ray.measures.meco import meco
from naswot_ray.measures.naswot_layerwise import naswot_layerwise
from naswot_ray.measures.statistics import ForwardPass, Statistic
from naswot_ray.measures.swap import swap
from naswot_ray.network import Network, NetworkBuilder
from naswot_ray.network.graph import Initialisation

_IMAGE_SHAPE = (3, 12, 12)
_NUM_IMAGES = 18
"""One whole block of images and a part of a second one."""

_TOLERANCE = 1e-3
"""Fraction of the units by which two kernels may differ. Units near zero flip when sums are taken in another order. A library
that computes wrongly is off by a tenth."""

_MEASURES = (naswot_layerwise, swap, expressivity, meco)
"""One measure for each of the other statistics."""

_STATISTICS = frozenset({Statistic.KERNELS}).union(*(one.statistics for one in _MEASURES))

_SLACK = 10
"""By how many times the tolerance between engines a measure may be off here, for the same reason."""


def find_fault(library: ctypes.CDLL) -> str | None:
    """Compare a library with torch. It takes some milliseconds.

    Returns:
        what the library does wrong, as a clause without a subject ("draws other weights than numpy"); None if nothing.
    """
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
    weights = SeededWeights(network, 0)
    with torch.autocast("cpu", enabled=False):  # a caller's autocast would round what torch computes
        torchs = program_torch.execute(network.program, images, weights, _STATISTICS)
    found = NativeExecutor(library).execute(network.program, images, weights, _STATISTICS)
    own = ForwardPass(network.plan.codes, _NUM_IMAGES, found)
    kernels = ((own.kernels.published, torchs.kernels.published), (own.kernels.paper, torchs.kernels.paper))
    far = max(abs(one - other).max() for one, other in kernels)
    if far > _TOLERANCE * network.num_units:
        return f"computes other kernels than torch: they differ by up to {far:,} of {network.num_units:,} units"
    return _other_statistic(own, torchs)


def _other_statistic(own: ForwardPass, torchs: ForwardPass) -> str | None:
    """Compare what two passes found besides the kernels; says as `find_fault` where they differ."""
    for one in _MEASURES:
        value, expected = one(own), one(torchs)
        if not abs(value - expected) <= _SLACK * one.tolerance.bound(expected, len(own.codes)):
            return f"computes other statistics than torch: {one.name} is {value:.6g} instead of {expected:.6g}"
    return None


def _network(initialisation: Initialisation) -> Network:
    """A network with every kind of instruction and every kind of convolution that kernels.cpp distinguishes."""
    b = NetworkBuilder(_IMAGE_SHAPE)
    x = b.relu(b.batch_norm(b.conv(b.input, 16, 3, padding=1)))
    x = b.relu(b.batch_norm(b.conv(x, 16, 3, padding=1)), multiplicity=2)  # Winograd on tiles of 4
    x = b.relu(b.batch_norm(b.conv(x, 16, 3, padding=1, groups=16)))
    x = b.add(b.avg_pool(x, 3, stride=2, padding=1), b.max_pool(b.shift(x), 3, stride=2, padding=1))
    x = b.relu(b.batch_norm(b.conv(x, 16, 3, padding=1)))  # Winograd on tiles of 2
    x = b.concat(b.conv(x, 8, 1), b.conv(x, 8, 5, padding=2, groups=2))
    return b.build(b.relu(b.batch_norm(x)), arch_id="self-test", initialisation=initialisation)
