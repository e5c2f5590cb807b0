"""Every statistic that engine `fast` finds, against `exact`: by its own kernels and in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from bench.sampling import SPACES, samples
from naswot_ray import philox
from naswot_ray.engines.exact import ExactEngine
from naswot_ray.engines.fast import engine as engine_module
from naswot_ray.engines.fast.compiler import BuildError
from naswot_ray.engines.fast.deep import enlarges_rounding
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
"""How far an eigenvalue of a covariance may be off, as a fraction of their sum: units near zero flip, and values are rounded."""


def images(n: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(philox.normal(("test images",), n * int(np.prod(shape))).reshape(n, *shape))


@pytest.fixture(scope="module", params=["kernels", "torch"])
def engine(request: pytest.FixtureRequest) -> FastEngine:
    """With its own kernels, and as on a machine without a compiler."""
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
    """Every measure within its tolerance, and every spectrum."""
    num_tensors = len(expected.covariance_spectra)
    for one in MEASURES:
        value, right = one(own), one(expected)
        # Where a kernel is singular for one and not for the other, a unit near zero has flipped; `_same_singular` sees to that.
        assert value == right or abs(value - right) <= one.tolerance.bound(right, max(num_tensors, 1)), one.name
    assert len(own.covariance_spectra) == num_tensors
    assert own.tensor_log_dets.shape == own.smallest_correlations.shape == (num_tensors,)
    for spectrum, right_c in zip(own.covariance_spectra, expected.covariance_spectra, strict=True):
        np.testing.assert_allclose(spectrum, right_c, rtol=0, atol=SPECTRUM_TOLERANCE * right_c.sum() + 1e-30)
    np.testing.assert_allclose(own.smallest_correlations, expected.smallest_correlations, rtol=0, atol=1e-4)


@pytest.mark.parametrize("space", SPACES)
def test_networks_of_each_space(engine: FastEngine, space: str) -> None:
    """Small images keep it short: what is shrunk to a few pixels enlarges rounding and is left out."""
    drawn = [sample.build() for sample in samples(space, 12, image_size=16)]
    shallow = [network for network in drawn if not enlarges_rounding(network.plan)][: len(BATCH_SIZES)]
    assert shallow
    for number, n in enumerate(BATCH_SIZES):
        network = shallow[number % len(shallow)]
        batch = images(n, 3, 16, 16)
        assert_agree(run(engine, network, batch), run(ExactEngine(), network, batch))


@settings(max_examples=120, deadline=None)
@given(networks())
def test_any_graph(engine: FastEngine, network: Network) -> None:
    """Sums, concatenations, truncated channels, single channels, zeros; a whole block of images and a part of one."""
    batch = images(19, 3, 8, 8)
    own, expected = run(engine, network, batch), run(ExactEngine(), network, batch)
    assert len(own.covariance_spectra) == len(expected.covariance_spectra)
    for spectrum, right_c in zip(own.covariance_spectra, expected.covariance_spectra, strict=True):
        np.testing.assert_allclose(spectrum, right_c, rtol=0, atol=5 * SPECTRUM_TOLERANCE * right_c.sum() + 1e-30)
    np.testing.assert_allclose(own.smallest_correlations, expected.smallest_correlations, rtol=0, atol=1e-3)
    assert abs(int(own.patterns.sum()) - int(expected.patterns.sum())) <= max(8, 2e-3 * expected.patterns.sum())
