"""Networks that amplify rounding errors are recognised by their graph, and scored with the kernels of `exact`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from naswot_ray import philox
from naswot_ray.engines import exact
from naswot_ray.engines.fast import memory
from naswot_ray.engines.fast.deep import MAX_DEPTH_ON_SMALL_MAPS, MAX_PLAIN_DEPTH, enlarges_rounding, exact_bytes, plain_depth
from naswot_ray.engines.fast.engine import FastEngine
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.network import Network, NetworkBuilder
from tests.engines.forward import kernels_of

IMAGES = torch.from_numpy(philox.normal(("test images",), 4 * 3 * 8 * 8).reshape(4, 3, 8, 8))


def stack(depth: int, *, shortcuts: bool = False, stride: int = 1) -> Network:
    """A stem with a stride and `depth` - 1 convolutions of 8 channels. A ReLU follows each."""
    b = NetworkBuilder((3, 8, 8))
    x = b.relu(b.batch_norm(b.conv(b.input, 8, 3, stride=stride, padding=1)))
    for _ in range(depth - 1):
        y = b.batch_norm(b.conv(x, 8, 3, padding=1))
        x = b.relu(b.add(x, y) if shortcuts else y)
    return b.build(x, arch_id=f"{depth} {shortcuts}")


@pytest.mark.parametrize("depth", [1, 2, 60])
def test_depth_is_counted_along_the_shortest_way(depth: int) -> None:
    assert plain_depth(stack(depth).plan) == depth
    assert plain_depth(stack(depth, shortcuts=True).plan) == 1


def test_depth_is_that_of_the_farthest_relu() -> None:
    b = NetworkBuilder((3, 8, 8))
    x = b.relu(b.conv(b.input, 8, 1))
    y = b.relu(b.conv(b.relu(b.conv(x, 8, 1)), 8, 1))
    assert plain_depth(b.build(b.add(x, y), arch_id="branches").plan) == 3


def test_nothing_to_count() -> None:
    b = NetworkBuilder((3, 8, 8))
    assert plain_depth(b.build(b.relu(b.zero(b.input)), arch_id="zero").plan) == 0


@pytest.mark.parametrize(("pixels", "stride"), [(4, 4), (1, 8)])
def test_statistics_over_a_few_values_count_as_depth(pixels: int, stride: int) -> None:
    limit = MAX_DEPTH_ON_SMALL_MAPS[pixels]
    assert not enlarges_rounding(stack(limit, stride=stride).plan)
    assert enlarges_rounding(stack(limit + 1, stride=stride).plan)
    assert not enlarges_rounding(stack(limit + 1, stride=stride // 2).plan)
    assert not enlarges_rounding(stack(2 * limit, stride=stride, shortcuts=True).plan)


def test_deep_networks_have_the_kernels_of_exact() -> None:
    network = stack(MAX_PLAIN_DEPTH + 1)
    weights = SeededWeights(network, 0)
    got, expected = (
        kernels_of(FastEngine(), network, IMAGES, weights),
        kernels_of(exact.ExactEngine(), network, IMAGES, weights),
    )
    np.testing.assert_array_equal(got.published, expected.published)
    np.testing.assert_array_equal(got.paper, expected.paper)


@pytest.mark.parametrize(
    "network", [stack(MAX_PLAIN_DEPTH), stack(2 * MAX_PLAIN_DEPTH, shortcuts=True)], ids=["plain", "residual"]
)
def test_others_do_not(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(exact, "run_forward")
    kernels = kernels_of(FastEngine(), network, IMAGES, SeededWeights(network, 0))
    np.testing.assert_array_equal(kernels.published.diagonal(), network.num_units)


def test_what_exact_takes() -> None:
    tensor = 4 * 5 * 8 * 8 * 8  # bytes that a tensor of the stack takes for five images
    assert exact_bytes(stack(9).plan, 5) == 4 * tensor  # a step's result and what it reads, twice each
    assert exact_bytes(stack(9, shortcuts=True).plan, 5) == 6 * tensor  # the sum reads two tensors


def test_a_deep_network_without_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network = stack(MAX_PLAIN_DEPTH + 1)
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    with pytest.raises(MemoryError, match="the network takes 0 MiB, 0 MiB are free"):
        kernels_of(FastEngine(), network, IMAGES, SeededWeights(network, 0))
