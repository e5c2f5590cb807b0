"""Engine `fast` gives the kernels of `exact`, whether it computes with its own kernels or in torch."""

from __future__ import annotations

import json
import mmap

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from naswot_ray import philox
from naswot_ray.engines.engine import get_engine
from naswot_ray.engines.exact import ExactEngine
from naswot_ray.engines.fast import engine as engine_module
from naswot_ray.engines.fast import memory
from naswot_ray.engines.fast.compiler import BuildError
from naswot_ray.engines.fast.engine import FastEngine
from naswot_ray.engines.fast.shared_library import load_kernels
from naswot_ray.engines.score import score
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.measures import DEFAULT_MEASURES, get_measures
from naswot_ray.measures.kernel import Kernels
from naswot_ray.network import Network, NetworkBuilder
from naswot_ray.spaces import get_space
from tests.engines.forward import kernels_of
from tests.network.strategies import networks
from tests.parity import check

CELL = "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"


def images(n: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(philox.normal(("test images",), n * int(np.prod(shape))).reshape(n, *shape))


@pytest.fixture(scope="module", params=["kernels", "torch"])
def engine(request: pytest.FixtureRequest) -> FastEngine:
    """The engine with its own kernels, and as it works without a compiler."""
    if request.param == "kernels":
        built = FastEngine()
        assert built.note is None, "these tests need a C++ compiler"
        return built
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "load_kernels", _no_kernels)
        return FastEngine()


def _no_kernels() -> None:
    raise BuildError("no C++ compiler (c++, g++, clang++)")


def agree(got: Kernels, expected: Kernels, num_units: int) -> None:
    """Differences must be what two orders of summation may cause: a few units near zero."""
    for one, other in ((got.published, expected.published), (got.paper, expected.paper)):
        np.testing.assert_array_equal(one.diagonal(), other.diagonal())
        assert abs(one - other).max() <= max(8, 2e-4 * num_units)


@settings(max_examples=150, deadline=None)
@given(networks())
def test_agrees_with_exact_on_any_graph(engine: FastEngine, network: Network) -> None:
    batch, weights = images(19, 3, 8, 8), SeededWeights(network, 0)  # one whole block of images and a part of another
    agree(kernels_of(engine, network, batch, weights), kernels_of(ExactEngine(), network, batch, weights), network.num_units)


def convolved(size: int, channels: int, wide: int, kernel: int, stride: int, groups: int) -> Network:
    """ReLUs that follow a convolution from `channels` to `wide` channels."""
    b = NetworkBuilder((3, size, size))
    x = b.relu(b.batch_norm(b.conv(b.input, channels, 3, padding=1)))
    x = b.relu(b.batch_norm(b.conv(x, wide, kernel, stride=stride, padding=kernel // 2, groups=groups)))
    return b.build(x, arch_id=f"{size} {channels} {wide} {kernel} {stride} {groups}")


@pytest.mark.parametrize("size", [4, 6, 7, 8, 12, 15])
@pytest.mark.parametrize(("channels", "wide", "groups"), [(16, 16, 1), (8, 31, 1), (40, 13, 1), (32, 64, 2), (24, 24, 24)])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1)])
def test_convolutions_of_all_kinds(size: int, channels: int, wide: int, groups: int, kernel: int, stride: int) -> None:
    """The convolutions are plain, by Winograd's filtering of both sizes, and depthwise; some tiles are cut off at an edge."""
    if wide % groups:
        wide = channels
    network = convolved(size, channels, wide, kernel, stride, groups)
    batch, weights = images(6, 3, size, size), SeededWeights(network, 0)
    expected = kernels_of(ExactEngine(), network, batch, weights)
    agree(kernels_of(get_engine("fast"), network, batch, weights), expected, network.num_units)


@pytest.mark.parametrize("n", [2, 15, 16, 17, 40])
def test_any_batch_size(engine: FastEngine, n: int) -> None:
    network = get_space("nasbench201").network(CELL, input_shape=(3, 16, 16))
    batch, weights = images(n, 3, 16, 16), SeededWeights(network, 0)
    kernels, expected = kernels_of(engine, network, batch, weights), kernels_of(ExactEngine(), network, batch, weights)
    assert kernels.published.shape == (n, n)
    agree(kernels, expected, network.num_units)


def test_published_scores(engine: FastEngine) -> None:
    """One parity vector of each space and family. `python -m tests.parity --engine fast` checks all of them."""
    content = json.loads((check.VECTORS / "order_keyed.json").read_text())
    firsts: dict[tuple[str, str | None], check.Case] = {}
    for case in content["cases"]:
        if case.get("expect") != "error":
            firsts.setdefault((case["space"], case.get("family")), case)
    for case in firsts.values():
        assert check.compare_case(content["recipe"], case, 16, engine=engine).differences == (), case["name"]
    assert len(firsts) >= 5


def test_the_same_again_whatever_came_before(engine: FastEngine) -> None:
    """Memory is kept from network to network."""
    space = get_space("nasbench201")
    cells = [CELL, "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|skip_connect~1|none~2|"]
    small, large = images(4, 3, 8, 8), images(20, 3, 16, 16)
    kernels = []
    for batch in (small, large, small):
        for cell in cells:
            network = space.network(cell, input_shape=batch.shape[1:])
            kernels.append(kernels_of(engine, network, batch, SeededWeights(network, 1)).published)
    np.testing.assert_array_equal(kernels[0], kernels[4])
    np.testing.assert_array_equal(kernels[1], kernels[5])


def test_images_that_were_changed_in_place() -> None:
    batch = images(4, 3, 8, 8)
    before = score(CELL, batch)
    batch += torch.arange(8.0)
    assert score(CELL, batch) != before
    assert score(CELL, batch) == score(CELL, batch.clone())


def test_a_network_that_needs_more_memory_than_there_is(engine: FastEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is refused before memory is allocated, and a network that fits is still scored."""
    if engine.note is not None:
        pytest.skip("torch allocates as it goes")
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**20)
    space, batch = get_space("nasbench201"), images(64, 3, 64, 64)
    network = space.network(CELL, input_shape=(3, 64, 64))
    mapped = []
    monkeypatch.setattr(mmap, "mmap", lambda *args: mapped.append(args))
    with pytest.raises(MemoryError, match=r"the network takes [\d,]+ MiB, 1 MiB are free"):
        kernels_of(engine, network, batch, SeededWeights(network, 0))
    assert not mapped
    (result,) = engine.score_group([network], batch, [SeededWeights(network, 0)], get_measures(DEFAULT_MEASURES))
    assert isinstance(result, MemoryError)


def test_images_of_another_shape_or_device(engine: FastEngine) -> None:
    network = get_space("nasbench201").network(CELL)
    with pytest.raises(ValueError, match="for a network that takes"):
        kernels_of(engine, network, images(2, 3, 16, 16), SeededWeights(network, 0))
    with pytest.raises(ValueError, match="runs on a CPU, the images are on meta"):
        kernels_of(engine, network, torch.empty(2, 3, 32, 32, device="meta"), SeededWeights(network, 0))


def test_says_why_it_runs_in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "load_kernels", _no_kernels)
    assert FastEngine().note == "engine fast runs in torch alone and takes longer: no C++ compiler (c++, g++, clang++)"


def test_tells_where_the_time_went() -> None:
    engine = FastEngine()
    network = get_space("nasbench201").network(CELL)
    kernels_of(engine, network, images(16, 3, 32, 32), SeededWeights(network, 0))
    told = {stage for stage, seconds in engine.last_stages.items() if seconds > 0}
    assert told == {"convolution", "combination", "pool", "Gram"}


def test_draws_the_weights_of_the_package() -> None:
    """Every bit is right. Weights of a seed are drawn by the kernels; other weights come from their source."""
    for space in ("nasbench201", "nasbench101"):
        arch_id = get_space(space)[3]
        network = get_space(space).network(arch_id, input_shape=(3, 8, 8))
        weights, batch = SeededWeights(network, 2**40), images(4, 3, 8, 8)
        kernels = [kernels_of(FastEngine(), network, batch, w) for w in (weights, lambda layer, w=weights: w(layer))]
        np.testing.assert_array_equal(kernels[0].published, kernels[1].published)
        assert load_kernels() is load_kernels()
