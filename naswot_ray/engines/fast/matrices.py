"""Log-determinants and eigenvalues of the many small matrices of a network, by the kernels of kernels.cpp."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt

from naswot_ray.measures.kernel import log_det
from naswot_ray.measures.statistics import FloatArray

MAX_BATCHED: Final = 160
"""Rows of the matrices that are taken many at once, one in each lane of a vector: larger ones leave the caches, and LAPACK is
faster one by one."""


class Matrices:
    """Functions of many matrices.

    Args:
        library: compiled from kernels.cpp.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def log_dets(self, kernels: npt.NDArray[np.int32]) -> FloatArray:
        """log|det K| of kernels as `measures.kernel.log_det` has it, shape (t,): -inf where K is singular, exactly so.

        Args:
            kernels: shape (t, n, n), of each the lower triangle.
        """
        count, n = kernels.shape[:2]
        found = np.empty(count)
        trusted = np.zeros(count, np.bool_)
        if n <= MAX_BATCHED:
            self._call("log_dets", kernels.ctypes.data, count, n, found.ctypes.data, trusted.ctypes.data)
        for number in np.flatnonzero(~trusted):
            lower = np.tril(kernels[number]).astype(np.int64)
            found[number] = log_det(lower + np.tril(lower, -1).T)
        return found

    def eigenvalues(self, lower: FloatArray, sizes: Sequence[int]) -> list[FloatArray]:
        """The eigenvalues of symmetric matrices, each ascending.

        Args:
            lower: their lower triangles, row by row, one matrix behind the other.
            sizes: rows of each.
        """
        rows = np.array(sizes, np.int64)
        ends = list(accumulate(sizes))
        values = np.empty(ends[-1] if ends else 0)
        self._call("eigenvalues", lower.ctypes.data, rows.ctypes.data, len(sizes), MAX_BATCHED, values.ctypes.data)
        found = [values[end - size : end] for size, end in zip(sizes, ends, strict=True)]
        if np.isnan(values).any():  # of those that are too large, or did not converge
            triangle_ends = accumulate(size * (size + 1) // 2 for size in sizes)
            for number, (size, end) in enumerate(zip(sizes, triangle_ends, strict=True)):
                if np.isnan(found[number]).any():
                    matrix = np.zeros((size, size))
                    matrix[np.tril_indices(size)] = lower[end - size * (size + 1) // 2 : end]
                    found[number] = np.asarray(np.linalg.eigvalsh(matrix), np.float64)
        return found

    def _call(self, name: str, *arguments: int) -> None:
        if getattr(self._library, f"naswot_{name}")(*arguments):
            raise MemoryError(f"not enough memory for the {name.replace('_', ' ')} of many matrices")
