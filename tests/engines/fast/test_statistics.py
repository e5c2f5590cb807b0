"""Every statistic of engine `fast` is compared with `exact`, both with its own kernels and in torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import cycle

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from bench.samples import SPACES, samples
from naswot_ray import philox
from naswot_ray.engines.exact import ExactEngine
from naswot_ray.engines.fast import engine as engine_module
from naswot_ray.engines.fast import memory
from naswot_ray.engines.fast.compiler import BuildError
from naswot_ray.engines.fast.deep import MAX_PLAIN_DEPTH, enlarges_rounding
from naswot_ray.engines.fast.encoding import encode
from naswot_ray.engines.fast.engine import FastEngine
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.measures import Statistic, all_measures
from naswot_ray.measures.statistics import ForwardPass
from naswot_ray.network import Network, NetworkBuilder
from naswot_ray.network.program import Combine
from naswot_ray.spaces import get_space
from tests.network.strategies import networks

CELL = "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
MEASURES = [one for one in all_measures().values() if one.statistics <= FastEngine.statistics]
BATCH_SIZES = (3, 16, 20, 32)

SPECTRUM_TOLERANCE = 1e-3
"""How far an eigenvalue of a covariance may be off, as a fraction of their sum. Values are rounded (pairs.h)."""


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


def run(engine: FastEngine | ExactEngine, network: Network, batch: torch.Tensor) -> ForwardPass:
    return engine.run_forward(network, batch, SeededWeights(network, 0), FastEngine.statistics)


def assert_agree(own: ForwardPass, expected: ForwardPass) -> None:
    """Every measure is within its tolerance, and so is every spectrum."""
    num_tensors = len(expected.covariance_spectra)
    for one in MEASURES:
        value, right = one(own), one(expected)
        assert value == right or abs(value - right) <= one.tolerance.bound(right, max(num_tensors, 1)), one.name
    assert len(own.covariance_spectra) == num_tensors
    assert own.tensor_log_dets.shape == own.smallest_correlations.shape == (num_tensors,)
    for spectrum, right_c in zip(own.covariance_spectra, expected.covariance_spectra, strict=True):
        np.testing.assert_allclose(spectrum, right_c, rtol=0, atol=SPECTRUM_TOLERANCE * right_c.sum() + 1e-30)
    np.testing.assert_allclose(own.smallest_correlations, expected.smallest_correlations, rtol=0, atol=1e-4)


@pytest.mark.parametrize("space", SPACES)
def test_networks_of_each_space(engine: FastEngine, space: str) -> None:
    for network, batch, expected in expected_of(space):
        assert_agree(run(engine, network, batch), expected)


@cache
def expected_of(space: str) -> list[tuple[Network, torch.Tensor, ForwardPass]]:
    """A network, its batch and what `exact` finds, for each batch size. Both engines are compared with the same ones.

    Small images and networks keep it short: of twelve random networks the smallest are taken. What is shrunk to a few pixels
    enlarges rounding and is left out.
    """
    drawn = [sample.build() for sample in samples(space, 12, image_size=16)]
    shallow = [network for network in drawn if not enlarges_rounding(network.plan)]
    smallest = sorted(shallow, key=lambda network: network.flops)[: len(BATCH_SIZES)]
    chosen = [(network, images(n, 3, 16, 16)) for network, n in zip(cycle(smallest), BATCH_SIZES, strict=False)]
    assert [len(batch) for _, batch in chosen] == [*BATCH_SIZES]
    return [(network, batch, run(ExactEngine(), network, batch)) for network, batch in chosen]


@settings(max_examples=120, deadline=None)
@given(networks())
def test_any_graph(engine: FastEngine, network: Network) -> None:
    """Sums, concatenations, truncated channels, single channels and zeros, on a whole block of images and a part of another."""
    batch = images(19, 3, 8, 8)
    own, expected = run(engine, network, batch), run(ExactEngine(), network, batch)
    assert len(own.covariance_spectra) == len(expected.covariance_spectra)
    for spectrum, right_c in zip(own.covariance_spectra, expected.covariance_spectra, strict=True):
        np.testing.assert_allclose(spectrum, right_c, rtol=0, atol=5 * SPECTRUM_TOLERANCE * right_c.sum() + 1e-30)
    np.testing.assert_allclose(own.smallest_correlations, expected.smallest_correlations, rtol=0, atol=1e-3)
    assert abs(int(own.patterns.sum()) - int(expected.patterns.sum())) <= max(8, 2e-3 * expected.patterns.sum())


def values_in_pieces(b: NetworkBuilder) -> int:
    """ReLUs read concatenations of an early tensor, a late one, a positive part, and a sum."""
    early = b.conv(b.input, 3, 3, padding=1)
    late = b.batch_norm(b.conv(b.relu(b.batch_norm(b.conv(early, 8, 3, padding=1))), 4, 1))
    summed = b.add(late, b.batch_norm(b.conv(early, 4, 1)))
    without_sum = b.concat(early, late, b.truncate(b.relu(late), 3))
    return b.concat(b.relu(without_sum), b.relu(b.concat(early, summed)))


def a_positive_part(b: NetworkBuilder) -> int:
    """A ReLU that reads the output of a ReLU has the codes of that one's input, but other values."""
    x = b.batch_norm(b.conv(b.input, 6, 3, padding=1))
    return b.relu(b.add(b.relu(b.relu(x)), b.relu(b.relu(b.conv(b.input, 6, 1)))))


def one_channel(b: NetworkBuilder) -> int:
    return b.relu(b.batch_norm(b.conv(b.input, 1, 3, padding=1)))


def one_channel_in_strides(b: NetworkBuilder) -> int:
    """torch convolves these tensors wrongly if it is told that the memory format is channels last."""
    x = b.conv(b.conv(b.input, 1, 1), 1, 3, stride=2, padding=1)
    for _ in range(2):
        x = b.conv(x, 1, (1, 3), stride=(1, 2), padding=(0, 1))
    return b.relu(x)


def maps_of_a_pixel(b: NetworkBuilder) -> int:
    return b.relu(b.batch_norm(b.conv(b.relu(b.conv(b.input, 9, 3, stride=4)), 5, 1)))


def a_constant_channel(b: NetworkBuilder) -> int:
    """A truncation and a zero give channels that are constant in every image."""
    x = b.conv(b.input, 4, 1)
    return b.relu(b.concat(x, b.zero(x), b.truncate(b.batch_norm(x), 1)))


def no_live_relu(b: NetworkBuilder) -> int:
    return b.relu(b.zero(b.conv(b.input, 4, 1)))


@pytest.mark.parametrize("n", BATCH_SIZES)
@pytest.mark.parametrize(
    ("build", "size"),
    [
        (values_in_pieces, 8),
        (values_in_pieces, 7),
        (a_positive_part, 8),
        (one_channel, 9),
        (one_channel_in_strides, 8),
        (maps_of_a_pixel, 4),
        (a_constant_channel, 6),
        (no_live_relu, 6),
    ],
)
def test_edge_cases(engine: FastEngine, build: Callable[[NetworkBuilder], int], size: int, n: int) -> None:
    b = NetworkBuilder((3, size, size))
    network = b.build(build(b), arch_id=build.__name__)
    batch = images(n, 3, size, size) + 0.5  # these values are not centred
    assert_agree(run(engine, network, batch), run(ExactEngine(), network, batch))


def test_pieces_are_kept_over_phases() -> None:
    """This is the subject of the edge case above: combinations of several phases write one tensor."""
    b = NetworkBuilder((3, 8, 8))
    network = b.build(values_in_pieces(b), arch_id="pieces")
    written = [
        (phase, place.index, place.positive)
        for phase, instructions in enumerate(network.program.phases)
        for combine in instructions
        if isinstance(combine, Combine)
        for place in (combine.codes, *(term.codes for term in combine.terms))
        if place is not None
    ]
    phases = [{phase for phase, index, _ in written if index == one} for one in range(len(network.program.codes))]
    assert sum(len(found) > 1 for found in phases) == 2
    assert any(positive for *_, positive in written)


def test_only_what_is_wanted_is_found_and_paid_for() -> None:
    network = get_space("nasbench201").network(CELL, input_shape=(3, 16, 16))
    batch, weights, engine = images(20, 3, 16, 16), SeededWeights(network, 0), FastEngine()
    program = network.program
    least = encode(program, 20, {Statistic.KERNELS, Statistic.LOG_DETS}, 16)
    assert least.num_values == least.num_covariances == least.num_correlations == least.num_kernel_entries == 0
    for wanted in FastEngine.statistics - {Statistic.KERNELS}:
        found = engine.run_forward(network, batch, weights, [wanted])
        assert getattr(found, wanted) is not None
        for other in FastEngine.statistics - {Statistic.KERNELS, wanted}:
            with pytest.raises(LookupError, match="was not asked for"):
                getattr(found, other)
        assert encode(program, 20, {wanted}, 16).num_bytes >= least.num_bytes


def test_statistics_do_not_depend_on_each_other() -> None:
    network = get_space("nasbench201").network(CELL, input_shape=(3, 16, 16))
    batch, weights, engine = images(20, 3, 16, 16), SeededWeights(network, 0), FastEngine()
    whole = engine.run_forward(network, batch, weights, FastEngine.statistics)
    for one in MEASURES:
        assert one(engine.run_forward(network, batch, weights, one.statistics)) == one(whole), one.name


def test_statistics_count_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that just fits without the statistics is refused with them."""
    network = get_space("nasbench201").network(CELL, input_shape=(3, 16, 16))
    batch, weights, engine = images(20, 3, 16, 16), SeededWeights(network, 0), FastEngine()
    encoded = encode(network.program, 20, {Statistic.KERNELS}, 16)
    growth = 4 * (encoded.num_floats + encoded.num_weights) + 2 * encoded.num_masks
    monkeypatch.setattr(memory, "available_bytes", lambda: growth)
    with pytest.raises(MemoryError, match="the network takes"):
        engine.run_forward(network, batch, weights, FastEngine.statistics)
    engine.run_forward(network, batch, weights, [Statistic.KERNELS])


def test_deep_networks_have_the_statistics_of_exact() -> None:
    b = NetworkBuilder((3, 8, 8))
    x = b.input
    for _ in range(MAX_PLAIN_DEPTH + 1):
        x = b.relu(b.batch_norm(b.conv(x, 4, 3, padding=1)))
    network, batch = b.build(x, arch_id="deep"), images(3, 3, 8, 8)
    own, expected = run(FastEngine(), network, batch), run(ExactEngine(), network, batch)
    for one in MEASURES:
        assert one(own) == one(expected), one.name
