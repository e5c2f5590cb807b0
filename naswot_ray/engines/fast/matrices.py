"""Computes log-determinants and eigenvalues of a network's many small matrices, in the kernels of kernels.cpp."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
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
        all_sizes = np.array(sizes, np.int64)
        ends = np.cumsum(all_sizes * (all_sizes + 1) // 2).tolist()
        triangles = [slice(end - size * (size + 1) // 2, end) for size, end in zip(sizes, ends, strict=True)]
        is_small = all_sizes <= MAX_BATCHED
        small_sizes = all_sizes[is_small]
        packed = lower if is_small.all() else np.concatenate([lower[triangles[i]] for i in np.flatnonzero(is_small)])
        values = np.empty(small_sizes.sum())
        self._call("eigenvalues", packed.ctypes.data, small_sizes.ctypes.data, len(small_sizes), values.ctypes.data)
        ends = np.cumsum(np.where(is_small, all_sizes, 0)).tolist()
        # Large matrices have no values yet; theirs are computed below.
        found = [values[end - size if size <= MAX_BATCHED else end : end] for size, end in zip(sizes, ends, strict=True)]
        converged = not np.isnan(values).any()
        for number, spectrum in enumerate(found):
            if len(spectrum) < sizes[number] or not (converged or np.isfinite(spectrum).all()):
                matrix = np.zeros((sizes[number], sizes[number]))
                matrix[np.tril_indices(sizes[number])] = lower[triangles[number]]
                found[number] = np.linalg.eigvalsh(matrix)
        return found

    def _call(self, name: str, *arguments: int) -> None:
        if getattr(self._library, f"naswot_{name}")(*arguments):
            raise MemoryError(f"not enough memory for the {name.replace('_', ' ')} of many matrices")
