"""Computes log-determinants and eigenvalues of a network's many small matrices, in the kernels of kernels.cpp."""

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
"""The largest number of rows for which matrices are computed many at once, one in each lane of a vector. Larger ones do not fit
into the caches together, and LAPACK is faster one by one."""


class Matrices:
    """Computes functions of many matrices.

    Args:
        library: the library compiled from kernels.cpp.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def log_dets(self, kernels: npt.NDArray[np.int32]) -> FloatArray:
        """log|det K| of kernels as `measures.kernel.log_det` defines it: -inf exactly where K is singular.

        Args:
            kernels: t kernels, shape (t, n, n); only their lower triangles are read.

        Returns:
            shape (t,), float64.
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
            lower: the lower triangles row by row, one matrix after the other, flat, float64.
            sizes: the number of rows of each matrix.
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
