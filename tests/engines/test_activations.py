"""The statistics of one tensor, compared with definitions written out in numpy and float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from naswot_ray.engines import activations
from naswot_ray.engines.activations import agreements, covariance_spectrum, sign_patterns, smallest_correlation
from naswot_ray.measures.kernel import IntMatrix

shapes = st.tuples(st.integers(1, 6)) | npst.array_shapes(min_dims=2, max_dims=4, max_side=5)
values = st.sampled_from([-1.5, -1e-30, -0.0, 0.0, 1e-30, 2.0])


def _by_pairs(x: Any) -> IntMatrix:
    """For each pair of images, count the units that are on for both or off for both."""
    codes = [[v > 0 for v in np.ravel(image)] for image in x]
    return np.array([[sum(a == b for a, b in zip(one, other, strict=True)) for other in codes] for one in codes], np.int64)


class TestAgreements:
    @given(
        shapes.map(lambda shape: (*shape, 2) if len(shape) == 1 else shape).flatmap(
            lambda s: npst.arrays(np.float32, s, elements=values)
        )
    )
    def test_is_the_number_of_agreeing_units(self, x: Any) -> None:
        found = agreements(torch.from_numpy(x))
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, _by_pairs(x))

    def test_is_units_less_hamming_distance(self) -> None:
        x = torch.tensor([[1.0, 1.0, -1.0], [1.0, -1.0, 1.0], [-1.0, -1.0, 1.0]])
        assert agreements(x).tolist() == [[3, 1, 0], [1, 3, 2], [0, 2, 3]]

    @pytest.mark.parametrize("limit", [2, 8, 100, 101, 102])
    def test_many_units_are_summed_in_parts(self, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
        """Sums of 2^24 or more ones are inexact in float32. The test lowers this limit instead."""
        x = torch.randn(5, 100, generator=torch.Generator().manual_seed(0))
        whole = agreements(x)
        monkeypatch.setattr(activations, "_EXACT_IN_FLOAT32", limit)
        np.testing.assert_array_equal(agreements(x), whole)
        np.testing.assert_array_equal(whole, _by_pairs(x.numpy()))

    def test_beyond_float32(self) -> None:
        """All of 2^24 + 1 units are on for one image, and one unit is on for the other: float32 would count 2^24."""
        x = torch.zeros(2, 2**24 + 1, dtype=torch.int8)
        x[0] = 1
        x[1, 0] = 1
        assert agreements(x).tolist() == [[2**24 + 1, 1], [1, 2**24 + 1]]

    def test_layout_has_no_influence(self) -> None:
        """A channels-last tensor once made a hook fail silently."""
        x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
        np.testing.assert_array_equal(agreements(x.to(memory_format=torch.channels_last)), agreements(x))
        np.testing.assert_array_equal(agreements(x[:, ::2].transpose(2, 3)), agreements(x[:, ::2]))

    def test_leaves_its_input_alone(self) -> None:
        x = torch.randn(4, 6, requires_grad=True)
        before = x.detach().clone()
        agreements(x)
        assert torch.equal(x, before)
        assert x.requires_grad


tensors = npst.array_shapes(min_dims=4, max_dims=4, max_side=5).flatmap(
    lambda shape: npst.arrays(np.float32, shape, elements=st.integers(-4, 4).map(float))
)


class TestSignPatterns:
    @given(tensors)
    def test_is_a_bit_for_each_image(self, x: Any) -> None:
        expected = [sum(int(x[i].ravel()[u] > 0) << i for i in range(len(x))) for u in range(x[0].size)]
        assert sign_patterns(torch.from_numpy(x)).tolist() == expected

    def test_takes_the_first_sixteen_images(self) -> None:
        x = torch.ones(20, 3)
        x[15, 1] = -1
        x[16:, 2] = -1
        assert sign_patterns(x).tolist() == [2**16 - 1, 2**15 - 1, 2**16 - 1]


class TestCovarianceSpectrum:
    @given(tensors)
    def test_is_that_of_the_channels_over_images_and_pixels(self, x: Any) -> None:
        channels = x.astype(np.float64).transpose(1, 0, 2, 3).reshape(x.shape[1], -1)
        expected = np.linalg.eigvalsh(np.cov(channels, bias=True).reshape(x.shape[1], x.shape[1]))
        np.testing.assert_allclose(covariance_spectrum(torch.from_numpy(x)), expected, atol=1e-9)

    def test_behind_a_global_pool(self) -> None:
        x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
        np.testing.assert_array_equal(covariance_spectrum(x), covariance_spectrum(x[:, :, None, None]))

    def test_one_channel(self) -> None:
        assert covariance_spectrum(torch.tensor([[[[1.0, 3.0]]], [[[1.0, 3.0]]]])).tolist() == [1.0]


class TestSmallestCorrelation:
    @given(tensors)
    def test_is_that_of_the_first_image(self, x: Any) -> None:
        channels = x[0].astype(np.float64).reshape(x.shape[1], -1)
        correlation = np.zeros((len(channels), len(channels)))
        for i, one in enumerate(channels):
            for j, other in enumerate(channels):
                if one.std() > 0 and other.std() > 0:
                    correlation[i, j] = ((one - one.mean()) * (other - other.mean())).mean() / (one.std() * other.std())
        found = smallest_correlation(torch.from_numpy(x))
        assert found == pytest.approx(np.linalg.eigvalsh(correlation)[0], abs=1e-9)

    @pytest.mark.parametrize(
        ("image", "expected"),
        [
            ([[1.0, 2.0, 4.0]], 1.0),  # a single channel
            ([[5.0, 5.0, 5.0]], 0.0),  # a channel that is constant
            ([[1.0, 2.0, 4.0], [5.0, 5.0, 5.0]], 0.0),  # several channels, one of them constant
            ([[1.0, 2.0, 4.0], [2.0, 4.0, 8.0]], 0.0),  # channels that are equal up to a factor
            ([[1.0], [2.0]], 0.0),  # a single pixel
        ],
    )
    def test_edge_cases(self, image: list[list[float]], expected: float) -> None:
        x = torch.tensor([image, image])[:, :, :, None]
        assert smallest_correlation(x) == pytest.approx(expected, abs=1e-12)

    def test_behind_a_global_pool_every_channel_is_constant(self) -> None:
        assert smallest_correlation(torch.randn(4, 3)) == 0
