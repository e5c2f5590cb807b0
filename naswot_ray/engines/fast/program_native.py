"""Executes the program of a network in the kernels of kernels.cpp."""

from __future__ import annotations

import ctypes
import mmap
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from naswot_ray.engines.fast.encoding import LANES, Encoded, encode
from naswot_ray.engines.fast.matrices import Matrices
from naswot_ray.engines.fast.memory import check_memory
from naswot_ray.engines.fast.weights import draw
from naswot_ray.engines.weights import WeightSource
from naswot_ray.measures.kernel import constant_kernels
from naswot_ray.measures.statistics import FloatArray, Statistic
from naswot_ray.network.program import Program

_ALIGNMENT = 64
_HUGE_PAGE = 2 * 2**20
_MUCH = 32 * 2**20
"""Results up to this many bytes are allocated without checking the free memory, since the check takes a while."""
_STAGES = (
    "convolution",
    "depthwise convolution",
    "combination",
    "pool",
    "Gram",
    "patterns",
    "covariance",
    "correlation",
)
"""Names of the kernels' stages, in the order of `Stage` in program.h."""

_SPECTRA = frozenset({Statistic.COVARIANCE_SPECTRA, Statistic.SMALLEST_CORRELATIONS})
"""The statistics that are computed from eigenvalues."""


class _Results(ctypes.Structure):
    """Where the kernels write their results (`Results` in program.h); null for a result that is not wanted."""

    _fields_ = tuple(
        (name, ctypes.c_void_p) for name in ("published", "paper", "tensor_kernels", "patterns", "covariances", "correlations")
    )


class NativeExecutor:
    """Executes one network at a time, and keeps its memory for the next one.

    Args:
        library: the library compiled from kernels.cpp.

    Attributes:
        last_stages: stage -> seconds that the last network took in it.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.last_stages: Mapping[str, float] = {}
        self._library = library
        self._matrices = Matrices(library)
        self._pair_floats = int(library.naswot_pair_floats())
        self._memory = {name: _Memory() for name in ("tensors", "codes", "weights", "values")}
        self._batch: torch.Tensor | None = None
        self._blocks: dict[int, npt.NDArray[np.float32]] = {}
        self._lock = threading.Lock()  # one network at a time uses the memory

    def execute(
        self, program: Program, images: torch.Tensor, weights: WeightSource, wanted: Collection[Statistic]
    ) -> dict[Statistic, Any]:
        """Compute the wanted statistics of a network, and always `KERNELS`. Arguments are those of `program_torch.execute`.

        Raises:
            MemoryError: the network needs more memory than there is.
        """
        with self._lock:
            encoded = encode(program, len(images), wanted, self._pair_floats)
            return self._execute(program, encoded, images, weights, frozenset(wanted))

    def _execute(
        self,
        program: Program,
        encoded: Encoded,
        images: torch.Tensor,
        weights: WeightSource,
        wanted: frozenset[Statistic],
    ) -> dict[Statistic, Any]:
        self._make_room(encoded)
        drawn = self._memory["weights"].floats(encoded.num_weights)
        draw(self._library, weights, encoded.layers, drawn)
        n = len(images)
        kernels = constant_kernels(program.codes, n)
        pattern_bits = np.zeros((2, encoded.num_patterns // 8), np.uint8)
        tensor_kernels = np.empty((encoded.num_kernel_entries // n**2, n, n), np.int32)
        triangles = np.empty(encoded.num_covariances + encoded.num_correlations)
        covariances, correlations = np.split(triangles, [encoded.num_covariances])
        arrays = (kernels.published, kernels.paper, tensor_kernels, pattern_bits, covariances, correlations)
        results = _Results(*(array.ctypes.data if array.size else None for array in arrays))
        seconds = np.zeros(len(_STAGES))
        failed = self._library.naswot_run(
            encoded.words.ctypes.data,
            n,
            self._blocks_of(images, encoded.image_padding).ctypes.data,
            drawn.ctypes.data,
            self._memory["tensors"].address,
            self._memory["codes"].address,
            self._memory["values"].address,
            ctypes.byref(results),
            seconds.ctypes.data,
        )
        if failed:
            raise MemoryError("not enough memory for the transformed tiles of a convolution")
        found: dict[Statistic, Any] = {Statistic.KERNELS: kernels}
        if Statistic.PATTERNS in wanted:
            patterns = np.unpackbits(pattern_bits[0] | pattern_bits[1], bitorder="little").view(np.bool_)
            patterns[0] |= any(codes.node is None for codes in program.codes)
            found[Statistic.PATTERNS] = patterns
        stages = dict(zip(_STAGES, seconds.tolist(), strict=True))
        if Statistic.TENSOR_LOG_DETS in wanted:
            before = time.perf_counter()
            found[Statistic.TENSOR_LOG_DETS] = self._matrices.log_dets(tensor_kernels)
            stages["log-determinants"] = time.perf_counter() - before
        if not wanted.isdisjoint(_SPECTRA):
            before = time.perf_counter()
            found |= self._spectra(encoded, triangles, wanted)
            stages["eigenvalues"] = time.perf_counter() - before
        self.last_stages = stages
        return found

    def _spectra(self, encoded: Encoded, triangles: FloatArray, wanted: frozenset[Statistic]) -> dict[Statistic, Any]:
        """What is found of eigenvalues, all of which are computed in one go; `triangles`: covariances, then correlations."""
        covariance_sizes = [tensor.channels for tensor in encoded.tensors] if encoded.num_covariances else []
        correlated = [number for number, tensor in enumerate(encoded.tensors) if tensor.correlated]
        correlation_sizes = [encoded.tensors[number].channels for number in correlated]
        spectra = self._matrices.eigenvalues(triangles, [*covariance_sizes, *correlation_sizes])
        found: dict[Statistic, Any] = {}
        if Statistic.COVARIANCE_SPECTRA in wanted:
            found[Statistic.COVARIANCE_SPECTRA] = tuple(spectra[: len(covariance_sizes)])
        if Statistic.SMALLEST_CORRELATIONS in wanted:
            smallest = np.zeros(len(encoded.tensors))
            smallest[correlated] = [spectrum[0] for spectrum in spectra[len(covariance_sizes) :]]
            found[Statistic.SMALLEST_CORRELATIONS] = smallest
        return found

    def _make_room(self, encoded: Encoded) -> None:
        wanted = {
            "tensors": 4 * encoded.num_floats,
            "codes": 2 * encoded.num_masks,
            "weights": 4 * encoded.num_weights,
            "values": 4 * encoded.num_values,
        }
        more = sum(max(0, size - self._memory[name].size) for name, size in wanted.items())
        if more > _HUGE_PAGE or encoded.num_bytes_found > _MUCH:
            check_memory(more + encoded.num_bytes_found, encoded.num_bytes)
        for name, size in wanted.items():
            self._memory[name].grow(max(size, 1))

    def _blocks_of(self, images: torch.Tensor, padding: int) -> npt.NDArray[np.float32]:
        """Images in the kernels' layout: [block of 16][channel][row][column][image of the block], padded with zeros.

        The result is kept for the next network on the same batch.
        """
        if self._batch is not images:
            self._batch, self._blocks = images, {}
        if padding not in self._blocks:
            n, channels, height, width = images.shape
            num_blocks = -(-n // LANES)
            padded = np.zeros((num_blocks * LANES, channels, height + 2 * padding, width + 2 * padding), np.float32)
            padded[:n, :, padding : padding + height, padding : padding + width] = images.numpy()
            blocks = padded.reshape(num_blocks, LANES, *padded.shape[1:]).transpose(0, 2, 3, 4, 1)
            place = np.empty(blocks.size + _ALIGNMENT, np.float32)
            start = -(place.ctypes.data // place.itemsize) % _ALIGNMENT
            self._blocks[padding] = place[start : start + blocks.size]
            self._blocks[padding].reshape(blocks.shape)[...] = blocks
        return self._blocks[padding]


class _Memory:
    """Memory that is reused from network to network; in huge pages where the system offers them."""

    def __init__(self) -> None:
        self.size = 0
        self.address = 0

    def grow(self, size: int) -> None:
        if size > self.size:
            self._map: mmap.mmap | None = None  # free the old memory before allocating the new
            self.size = -(-size // _HUGE_PAGE) * _HUGE_PAGE
            try:
                self._map = mmap.mmap(-1, self.size)
            except OSError as error:
                self.size = 0
                raise MemoryError(f"the system has no {size / 2**20:,.0f} MiB: {error.strerror}") from error
            if hasattr(mmap, "MADV_HUGEPAGE"):
                with suppress(OSError):  # a system without huge pages
                    self._map.madvise(mmap.MADV_HUGEPAGE)
            self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def floats(self, count: int) -> npt.NDArray[np.float32]:
        """The first `count` floats, as an array on this memory."""
        return np.ctypeslib.as_array(ctypes.cast(self.address, ctypes.POINTER(ctypes.c_float)), (count,))
