"""Weights depend only on (seed, arch_id, layer), and have the published distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from naswot_ray.engines.weights import SeededWeights
from naswot_ray.network import Network, NetworkBuilder
from naswot_ray.spaces import get_space

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"


def _network(arch_id: str = "a", *, channels: tuple[int, ...] = (4, 4, 8)) -> Network:
    b = NetworkBuilder((3, 8, 8))
    x = b.input
    for out in channels:
        x = b.relu(b.conv(x, out, 3, padding=1))
    return b.build(b.linear(b.global_avg_pool(x), 10), arch_id=arch_id)


def test_shape_and_type() -> None:
    network = _network()
    for layer in network.layers:
        weight = SeededWeights(network, 0)(layer)
        assert tuple(weight.shape) == layer.weight_shape
        assert (weight.dtype, weight.device.type) == (torch.float32, "cpu")


def test_are_those_of_another_object_in_another_order() -> None:
    network = _network()
    one, other = SeededWeights(network, 7), SeededWeights(_network(), 7)
    forwards = [one(layer) for layer in network.layers]
    backwards = [other(layer) for layer in reversed(network.layers)]
    for a, b in zip(forwards, reversed(backwards), strict=True):
        assert torch.equal(a, b)


def test_other_layers_have_no_influence() -> None:
    """Layer 0 has the same weights whatever follows it."""
    one, other = _network(channels=(4, 4)), _network(channels=(4, 16, 16))
    assert torch.equal(SeededWeights(one, 0)(one.layers[0]), SeededWeights(other, 0)(other.layers[0]))


@pytest.mark.parametrize(("arch_id", "seed"), [("b", 0), ("a", 1), ("a", -1)])
def test_differ_by_seed_and_architecture(arch_id: str, seed: int) -> None:
    layer = _network().layers[0]
    assert not torch.equal(SeededWeights(_network(arch_id), seed)(layer), SeededWeights(_network(), 0)(layer))


def test_layers_of_one_shape_differ() -> None:
    network = get_space("nasbench201").network(CELL)
    weights = SeededWeights(network, 0)
    drawn = [weights(layer) for layer in network.layers if layer.weight_shape == (16, 16, 3, 3)]
    assert len(drawn) == 25
    assert len({weight.numpy().tobytes() for weight in drawn}) == 25


def test_are_uniform_within_one_over_root_fan_in() -> None:
    """PyTorch's default for Conv2d and Linear (He et al. 2015, a = sqrt(5))."""
    b = NetworkBuilder((32, 4, 4))
    x = b.conv(b.conv(b.input, 256, 3), 512, 1, groups=4)
    network = b.build(b.linear(b.global_avg_pool(x), 200), arch_id="fans")
    for layer, fan_in in zip(network.layers, (32 * 9, 64, 512), strict=True):
        weight = SeededWeights(network, 0)(layer).double()
        bound = fan_in**-0.5
        assert bound * 0.999 < weight.abs().max().item() < bound
        assert weight.var().item() == pytest.approx(bound**2 / 3, rel=0.03)
        assert abs(weight.mean().item()) < 4 * bound / np.sqrt(3 * weight.numel())


def test_pinned_bits() -> None:
    """If this fails, every score ever published changes: raise WEIGHTS_VERSION, or undo the change."""
    network = get_space("nasbench201").network(get_space("nasbench201")[0])
    stem = SeededWeights(network, 0)(network.layers[0])
    assert stem[0, 0, 0].tolist() == [0.15133775770664215, 0.12352054566144943, 0.10329043120145798]
    assert stem[15, 2, 2].tolist() == [-0.06439828127622604, -0.07617134600877762, -0.10657887160778046]
