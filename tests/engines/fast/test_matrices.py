"""Log-determinants and eigenvalues of many matrices at once, compared with numpy and measures.kernel in float64."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naswot_ray.engines.fast import matrices as module
from naswot_ray.engines.fast.matrices import MAX_BATCHED, Matrices
from naswot_ray.engines.fast.shared_library import load_kernels
from naswot_ray.measures.kernel import IntMatrix, log_det
from naswot_ray.measures.statistics import FloatArray

EIGENVALUE_TOLERANCE = 2e-5
"""How far an eigenvalue may be off in single precision, as a fraction of the largest one."""


@pytest.fixture(scope="module")
def matrices() -> Matrices:
    return Matrices(load_kernels().functions)


def eigenvalues(matrices: Matrices, symmetric: Sequence[FloatArray]) -> list[FloatArray]:
    lower = [matrix[np.tril_indices(len(matrix))] for matrix in symmetric]
    return matrices.eigenvalues(np.concatenate([*lower, np.empty(0)]), [len(matrix) for matrix in symmetric])


def assert_right(found: list[FloatArray], symmetric: Sequence[FloatArray]) -> None:
    assert len(found) == len(symmetric)
    for values, matrix in zip(found, symmetric, strict=True):
        expected = np.linalg.eigvalsh(matrix)
        np.testing.assert_allclose(values, expected, rtol=0, atol=EIGENVALUE_TOLERANCE * abs(expected).max())
        assert (np.diff(values) >= 0).all()


def gram(size: int, rank: int, scale: float, seed: int) -> FloatArray:
    x = np.random.default_rng(seed).normal(size=(size, rank)) * scale
    return x @ x.T


grams = st.builds(
    gram,
    st.integers(1, 40),
    st.integers(1, 60),
    st.sampled_from([1e-12, 1e-3, 1.0, 1e9]),
    st.integers(0, 2**32 - 1),
)


class TestEigenvalues:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(grams, min_size=1, max_size=40))
    def test_of_any_sizes_and_ranks(self, matrices: Matrices, symmetric: list[FloatArray]) -> None:
        assert_right(eigenvalues(matrices, symmetric), symmetric)

    def test_of_special_matrices(self, matrices: Matrices) -> None:
        blocks = np.zeros((20, 20))
        blocks[:7, :7], blocks[12:, 12:] = gram(7, 7, 1.0, 1), gram(8, 3, 1.0, 2)
        tridiagonal = 2 * np.eye(30) - np.eye(30, k=1) - np.eye(30, k=-1)
        special = [np.zeros((5, 5)), np.eye(33), np.ones((17, 17)), np.diag(np.arange(9.0)), np.diag([1, 1e-9, 0.0]), blocks]
        special += [np.diag(10.0 ** -np.arange(12)), tridiagonal, gram(64, 64, 1.0, 3), np.array([[4.0]])]
        assert_right(eigenvalues(matrices, special), special)

    def test_does_not_depend_on_the_other_matrices(self, matrices: Matrices) -> None:
        """Every bit is the same: a row's value must not depend on what was computed with it."""
        some = [gram(size, rank, 1.0, size) for size in (5, 16, 33, 64) for rank in (4, 80)]
        alone = [eigenvalues(matrices, [one])[0] for one in some]
        for others in ([gram(90, 200, 1.0, 0)], [gram(3, 3, 1.0, seed) for seed in range(30)]):
            together = eigenvalues(matrices, [*others, *some])[len(others) :]
            for one, other in zip(alone, together, strict=True):
                np.testing.assert_array_equal(one, other)

    def test_of_large_matrices(self, matrices: Matrices) -> None:
        """LAPACK computes the large ones. They appear among the others in the right order."""
        mixed = [gram(3, 5, 1.0, 0), gram(MAX_BATCHED + 1, 300, 1.0, 1), gram(MAX_BATCHED, 300, 1.0, 2)]
        assert_right(eigenvalues(matrices, mixed), mixed)

    def test_what_does_not_converge_is_left_to_lapack(self) -> None:
        class NeverConverges:
            def naswot_eigenvalues(self, lower: int, sizes: int, count: int, most: int, values: int) -> int:
                total = sum((ctypes.c_int64 * count).from_address(sizes))
                (ctypes.c_double * total).from_address(values)[:] = [np.nan] * total
                return 0

        mixed = [gram(3, 4, 1.0, 0), gram(2, 2, 1.0, 0)]
        assert_right(eigenvalues(Matrices(cast(ctypes.CDLL, NeverConverges())), mixed), mixed)

    def test_of_no_matrix(self, matrices: Matrices) -> None:
        assert matrices.eigenvalues(np.empty(0), []) == []


def agreements(n: int, units: int, flips: float, seed: int) -> IntMatrix:
    """A kernel of codes, each of which differs from a common code in some fraction of the units."""
    chance = np.random.default_rng(seed)
    codes = chance.integers(0, 2, (1, units)) ^ (chance.random((n, units)) < flips)
    return codes @ codes.T + (1 - codes) @ (1 - codes).T


class TestLogDets:
    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(1, 40),
        st.lists(
            st.tuples(st.integers(1, 300), st.sampled_from([0.02, 0.2, 0.5]), st.integers(0, 2**32 - 1)),
            min_size=1,
            max_size=20,
        ),
    )
    def test_is_that_of_the_kernel(self, matrices: Matrices, n: int, drawn: list[tuple[int, float, int]]) -> None:
        """With few units, many of the kernels are exactly singular."""
        kernels = np.array([agreements(n, *one) for one in drawn])
        found = matrices.log_dets(np.tril(kernels).astype(np.int32))
        np.testing.assert_allclose(found, [log_det(K_nn) for K_nn in kernels], rtol=1e-9, atol=1e-9)

    @pytest.mark.parametrize("n", [128, MAX_BATCHED + 1])
    def test_of_many_images(self, matrices: Matrices, n: int) -> None:
        kernels = np.array([agreements(n, 4000, 0.3, seed) for seed in range(3)])
        found = matrices.log_dets(np.tril(kernels).astype(np.int32))
        np.testing.assert_allclose(found, [log_det(K_nn) for K_nn in kernels], rtol=1e-9)

    def test_what_is_near_singular_is_decided_in_integers(self, matrices: Matrices, monkeypatch: pytest.MonkeyPatch) -> None:
        """There are more images than units can distinguish linearly, but no two images have the same code."""
        codes = np.array([[i >> k & 1 for k in range(5)] for i in range(1, 20)])
        singular = codes @ codes.T + (1 - codes) @ (1 - codes).T
        asked = []

        def ask(K_nn: IntMatrix) -> float:
            asked.append(K_nn)
            return log_det(K_nn)

        monkeypatch.setattr(module, "log_det", ask)
        found = matrices.log_dets(np.array([singular, np.eye(19) * 5 + 1]).astype(np.int32))
        assert found.tolist() == [-np.inf, pytest.approx(log_det(np.eye(19, dtype=np.int64) * 5 + 1))]
        np.testing.assert_array_equal(asked, [singular])

    def test_two_images_with_one_code(self, matrices: Matrices, monkeypatch: pytest.MonkeyPatch) -> None:
        """Equal codes are found without elimination."""
        monkeypatch.setattr(module, "log_det", lambda K_nn: pytest.fail("needs no closer look"))
        assert matrices.log_dets(np.array([[[3, 0, 0], [1, 3, 0], [3, 1, 3]]], np.int32)).tolist() == [-np.inf]

    def test_of_no_kernel(self, matrices: Matrices) -> None:
        assert matrices.log_dets(np.empty((0, 4, 4), np.int32)).shape == (0,)
