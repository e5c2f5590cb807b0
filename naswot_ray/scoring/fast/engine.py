"""The engine `fast`: the same score as `exact` up to rounding, on a CPU, in a fraction of the time."""

from __future__ import annotations

import ctypes
import mmap
import threading
from collections.abc import Mapping
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import torch

from naswot_ray.network import Network
from naswot_ray.scoring import exact
from naswot_ray.scoring.engines import Engine, check_shape
from naswot_ray.scoring.fast import program_torch
from naswot_ray.scoring.fast.building import BuildError, load_kernels
from naswot_ray.scoring.fast.deep import enlarges_rounding, exact_bytes
from naswot_ray.scoring.fast.drawing import draw
from naswot_ray.scoring.fast.encoding import LANES, Encoded, encode
from naswot_ray.scoring.fast.memory import available_bytes
from naswot_ray.scoring.kernel import Kernels, constant_kernels
from naswot_ray.scoring.weights import WeightSource

_ALIGNMENT = 64
_HUGE_PAGE = 2 * 2**20
_STAGES = ("convolution", "depthwise convolution", "combination", "pool", "Gram")


class FastEngine(Engine):
    """Executes a network's program in the kernels of kernels.cpp, or in torch where these cannot be built.

    Networks that enlarge rounding are executed as `exact` does (deep.py).

    Attributes:
        note: what an operator should know: why it runs in torch.
        last_stages: seconds of the last network by stage; empty where torch executed it.
    """

    name = "fast"

    def __init__(self, dtype: str = "float32") -> None:
        super().__init__(dtype)
        self.last_stages: Mapping[str, float] = {}
        self._kernels: ctypes.CDLL | None = None
        try:
            self._kernels = load_kernels()
        except BuildError as error:
            self.note = f"engine fast runs in torch alone and takes longer: {error}"
        self._memory = {name: _Memory() for name in ("tensors", "codes", "weights")}
        self._batch: torch.Tensor | None = None
        self._blocks: dict[int, npt.NDArray[np.float32]] = {}
        self._lock = threading.Lock()  # one network at a time has the memory

    def compute_kernels(self, network: Network, images: torch.Tensor, weights: WeightSource) -> Kernels:
        """The kernels of a network on a batch; arguments and errors as in `exact`.

        Raises:
            MemoryError: it would take more memory than there is; nothing was computed.
        """
        check_shape(network, images)
        if images.device.type != "cpu":
            raise ValueError(f"engine fast runs on a CPU, the images are on {images.device}")
        if enlarges_rounding(network.plan):
            _check_memory(exact_bytes(network.plan, len(images)))
            self.last_stages = {}
            return exact.compute_kernels(network, images, weights)
        program = network.program
        kernels = constant_kernels(program.codes, len(images))
        if not program.phases:
            return kernels
        if self._kernels is None:
            program_torch.execute(program, images, weights, kernels)
        else:
            with self._lock:
                self._execute(self._kernels, encode(program, len(images)), images, weights, kernels)
        return kernels

    def _execute(
        self, library: ctypes.CDLL, encoded: Encoded, images: torch.Tensor, weights: WeightSource, kernels: Kernels
    ) -> None:
        self._make_room(encoded)
        drawn = self._memory["weights"].floats(encoded.num_weights)
        draw(library, weights, encoded.layers, drawn)
        seconds = np.zeros(len(_STAGES))
        failed = library.naswot_run(
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
            _check_memory(more, encoded.num_bytes)
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


def _check_memory(more: int, whole: int | None = None) -> None:
    """Refuse a network that takes more bytes than are free, of the `whole` that it takes."""
    if more > (available := available_bytes()):
        raise MemoryError(f"the network takes {(whole or more) / 2**20:,.0f} MiB, {available / 2**20:,.0f} MiB are free")


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
