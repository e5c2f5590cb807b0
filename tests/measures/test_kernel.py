"""The kernel and its log-determinant, compared with exact integer arithmetic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from naswot_ray.measures.kernel import IntMatrix, log_det


def _exact_determinant(K_nn: IntMatrix) -> int:
    """Bareiss' elimination, which uses only integers."""
    rows = [[int(v) for v in row] for row in K_nn]
    n, previous, sign = len(rows), 1, 1
    for k in range(n - 1):
        pivot = next((i for i in range(k, n) if rows[i][k]), None)
        if pivot is None:
            return 0
        if pivot != k:
            rows[k], rows[pivot], sign = rows[pivot], rows[k], -sign
        for i in range(k + 1, n):
            for j in range(k + 1, n):
                rows[i][j] = (rows[i][j] * rows[k][k] - rows[i][k] * rows[k][j]) // previous
        previous = rows[k][k]
    return sign * rows[-1][-1]


@st.composite
def kernels(draw: st.DrawFn, max_multiplicity: int = 10**6) -> IntMatrix:
    """Kernels of a few units that count many times each, so equal rows and low rank are common."""
    n, num_units = draw(st.integers(1, 10)), draw(st.integers(1, 14))
    X = draw(npst.arrays(np.int64, (n, num_units), elements=st.integers(0, 1)))
    times = draw(npst.arrays(np.int64, num_units, elements=st.integers(1, max_multiplicity)))
    K_nn: IntMatrix = (X * times) @ X.T + ((1 - X) * times) @ (1 - X).T
    return K_nn


class TestLogDet:
    @settings(max_examples=500, deadline=None)
    @given(kernels())
    def test_is_minus_infinity_exactly_where_singular(self, K_nn: IntMatrix) -> None:
        determinant = _exact_determinant(K_nn)
        assert determinant >= 0
        if determinant == 0:
            assert log_det(K_nn) == -math.inf
        else:
            assert log_det(K_nn) == pytest.approx(math.log(determinant), abs=1e-4)

    @pytest.mark.parametrize("n", [2, 16, 64])
    def test_well_conditioned(self, n: int) -> None:
        codes = np.random.default_rng(n).integers(0, 2, (n, 50 * n))
        K_nn = codes @ codes.T + (1 - codes) @ (1 - codes).T
        sign, expected = np.linalg.slogdet(K_nn.astype(np.float64))
        assert sign == 1
        assert log_det(K_nn) == pytest.approx(expected, abs=1e-9)

    def test_by_hand(self) -> None:
        assert log_det(np.array([[7]])) == pytest.approx(math.log(7))
        assert log_det(np.array([[4, 2], [2, 4]])) == pytest.approx(math.log(12))
        assert log_det(np.eye(5, dtype=np.int64)) == 0

    def test_two_equal_rows(self) -> None:
        """Two images have the same code, anywhere in the batch."""
        codes = np.random.default_rng(0).integers(0, 2, (64, 10_000))
        codes[63] = codes[17]
        assert log_det(codes @ codes.T + (1 - codes) @ (1 - codes).T) == -math.inf

    def test_all_equal(self) -> None:
        """The kernel of a cell whose edges are all `none`."""
        assert log_det(np.full((128, 128), 77_824)) == -math.inf

    @pytest.mark.parametrize(("n", "num_units"), [(8, 5), (64, 40), (128, 100)])
    def test_low_rank_without_equal_rows(self, n: int, num_units: int) -> None:
        """With fewer units than images, slogdet returns rounding noise of either sign; about half of it is positive."""
        for seed in range(10):
            codes = np.random.default_rng(seed).integers(0, 2, (n, num_units))
            bits = n.bit_length() - 1
            codes[:, :bits] = (np.arange(n)[:, None] >> np.arange(bits)) & 1  # no two images are alike
            K_nn = 1000 * (codes @ codes.T + (1 - codes) @ (1 - codes).T)
            assert np.linalg.matrix_rank(K_nn) < n
            assert log_det(K_nn) == -math.inf

    def test_no_units(self) -> None:
        assert log_det(np.zeros((4, 4), np.int64)) == -math.inf

    def test_dependent_rows_of_large_entries(self) -> None:
        """Row 3 = row 1 + row 2, with entries so large that rounding hides it."""
        for seed in range(10):
            A = np.random.default_rng(seed).integers(0, 10_000, (6, 40))
            A[3] = A[1] + A[2]
            assert log_det(A @ A.T) == -math.inf

    @example(1)
    @settings(max_examples=60, deadline=None)
    @given(st.integers(1, 10**6))
    def test_ill_conditioned_stays_finite(self, times: int) -> None:
        """Two codes that differ in one of millions of units."""
        K_nn = 1000 * times * np.ones((6, 6), np.int64) + np.eye(6, dtype=np.int64)
        expected = math.log(1 + 6 * 1000 * times)
        assert log_det(K_nn) == pytest.approx(expected, abs=0.05)

    def test_beyond_the_precision_of_floating_point_stays_finite(self) -> None:
        """The determinant is 1 and the condition number 2^104: no eigenvalue routine can distinguish it from a singular
        matrix."""
        assert log_det(np.array([[1, 2**26], [2**26, 2**52 + 1]])) == 0

    @settings(max_examples=300, deadline=None)
    @given(npst.arrays(np.int64, st.integers(1, 7).map(lambda n: (n, n)), elements=st.integers(-1000, 1000)))
    def test_is_never_nan(self, A: Any) -> None:
        assert not math.isnan(log_det(A @ A.T))

    def test_leaves_its_input_alone(self) -> None:
        K_nn = np.full((4, 4), 5)
        K_nn[0, 0] = 6
        before = K_nn.copy()
        log_det(K_nn)
        np.testing.assert_array_equal(K_nn, before)
