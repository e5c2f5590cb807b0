"""Executes the program of a network in the kernels of kernels.cpp."""

from __future__ import annotations

import ctypes
import mmap
import threading
from collections.abc import Mapping
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import torch

from naswot_ray.engines.fast.encoding import LANES, Encoded, encode
from naswot_ray.engines.fast.memory import check_memory
from naswot_ray.engines.fast.weights import draw
from naswot_ray.engines.weights import WeightSource
from naswot_ray.measures.kernel import Kernels
from naswot_ray.network.program import Program

_ALIGNMENT = 64
_HUGE_PAGE = 2 * 2**20
_STAGES = ("convolution", "depthwise convolution", "combination", "pool", "Gram")


class NativeExecutor:
    """Executes one network at a time and keeps the memory for the next.

    Args:
        library: compiled from kernels.cpp.

    Attributes:
        last_stages: seconds of the last network by stage.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.last_stages: Mapping[str, float] = {}
        self._library = library
        self._memory = {name: _Memory() for name in ("tensors", "codes", "weights")}
        self._batch: torch.Tensor | None = None
        self._blocks: dict[int, npt.NDArray[np.float32]] = {}
        self._lock = threading.Lock()  # one network at a time has the memory

    def execute(self, program: Program, images: torch.Tensor, weights: WeightSource, kernels: Kernels) -> None:
        """Add what a network's codes agree in to its kernels; arguments as in `program_torch.execute`.

        Raises:
            MemoryError: it would take more memory than there is.
        """
        with self._lock:
            self._execute(encode(program, len(images)), images, weights, kernels)

    def _execute(self, encoded: Encoded, images: torch.Tensor, weights: WeightSource, kernels: Kernels) -> None:
        self._make_room(encoded)
        drawn = self._memory["weights"].floats(encoded.num_weights)
        draw(self._library, weights, encoded.layers, drawn)
        seconds = np.zeros(len(_STAGES))
        failed = self._library.naswot_run(
            encoded.words.ctypes.data,
            len(images),
            self._blocks_of(images, encoded.image_padding).ctypes.data,
            drawn.ctypes.data,
            self._memory["tensors"].address,
            self._memory["codes"].address,
            kernels.published.ctypes.data,
            kernels.paper.ctypes.data,
            seconds.ctypes.data,
        )
        if failed:
            raise MemoryError("not enough memory for the transformed tiles of a convolution")
        self.last_stages = dict(zip(_STAGES, seconds.tolist(), strict=True))

    def _make_room(self, encoded: Encoded) -> None:
        wanted = {"tensors": 4 * encoded.num_floats, "codes": 2 * encoded.num_masks, "weights": 4 * encoded.num_weights}
        more = sum(max(0, size - self._memory[name].size) for name, size in wanted.items())
        if more > _HUGE_PAGE:
            check_memory(more, encoded.num_bytes)
        for name, size in wanted.items():
            self._memory[name].grow(max(size, 1))

    def _blocks_of(self, images: torch.Tensor, padding: int) -> npt.NDArray[np.float32]:
        """Images as the kernels read them: [block of 16][channel][row][column][image of the block], zeros around each."""
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
    """Memory that is kept from network to network, in huge pages where the system has them."""

    def __init__(self) -> None:
        self.size = 0
        self.address = 0

    def grow(self, size: int) -> None:
        if size > self.size:
            self._map: mmap.mmap | None = None  # the old memory goes before the new comes
            self.size = -(-size // _HUGE_PAGE) * _HUGE_PAGE
            try:
                self._map = mmap.mmap(-1, self.size)
            except OSError as error:
                self.size = 0
                raise MemoryError(f"the system has no {size / 2**20:,.0f} MiB: {error.strerror}") from error
            if hasattr(mmap, "MADV_HUGEPAGE"):
                with suppress(OSError):  # a kernel without them
                    self._map.madvise(mmap.MADV_HUGEPAGE)
            self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def floats(self, count: int) -> npt.NDArray[np.float32]:
        """The first `count` of them."""
        return np.ctypeslib.as_array(ctypes.cast(self.address, ctypes.POINTER(ctypes.c_float)), (count,))
