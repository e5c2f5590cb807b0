"""One block of device memory for all that a group stores, kept for the groups after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from naswot_ray.engines.cuda.group import Merged
from naswot_ray.engines.cuda.tables import Lowered

SHARE = 0.8
"""Of the free memory that a group may take by estimate; the rest is for what the estimate leaves out."""

_ALIGNMENT = 512
"""Bytes; more than any access needs."""


@dataclass(frozen=True, slots=True)
class Buffers:
    """A group's arrays, all flat.

    Attributes:
        arena: activations, of the engine's storage dtype; the images are at its head.
        weights: of the same dtype.
        stats: means and inverse deviations, float32.
        partials: those of tiles, for one launch at a time, float32.
        words: codes, int32.
    """

    arena: torch.Tensor
    weights: torch.Tensor
    stats: torch.Tensor
    partials: torch.Tensor
    words: torch.Tensor


class Workspace:
    """Memory that groups use one after the other. Kernels of one stream run in order, so nobody waits for a group to end."""

    def __init__(self, device: torch.device, storage: torch.dtype) -> None:
        self._device, self._storage = device, storage
        self._memory = torch.empty(0, dtype=torch.uint8, device=device)

    def free_bytes(self) -> int | None:
        """What there is for a group, what this workspace holds included; None where it is not known."""
        if self._device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(self._device)
        unused = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return free + unused + self._memory.nbytes

    def estimate(self, one: Lowered, num_images: int) -> int:
        """Bytes that an architecture takes in a group."""
        arena = one.sizes["arena"] * self._storage.itemsize
        rest = one.sizes["weights"] * self._storage.itemsize + 4 * (one.sizes["stats"] + one.sizes["words"])
        # Partial statistics are 2 floats for each channel of 128 pixels; channels may be padded to 16.
        return arena + arena // 16 + rest + 16 * num_images**2

    def buffers(self, merged: Merged, num_images: int) -> Buffers:
        """The arrays of a group; the last group's are gone.

        Raises:
            torch.OutOfMemoryError: they do not fit. The workspace is empty then.
        """
        partials = max((launch.partials(num_images) for launch in merged.launches), default=0)
        sizes: Mapping[str, tuple[int, torch.dtype]] = {
            "arena": (merged.sizes["arena"], self._storage),
            "weights": (merged.sizes["weights"], self._storage),
            "stats": (merged.sizes["stats"], torch.float32),
            "partials": (partials, torch.float32),
            "words": (merged.sizes["words"], torch.int32),
        }
        places, end = {}, 0
        for name, (size, dtype) in sizes.items():
            places[name] = (end, end + size * dtype.itemsize)
            end = -(-places[name][1] // _ALIGNMENT) * _ALIGNMENT
        if end > self._memory.nbytes:
            self.release()
            self._memory = torch.empty(end, dtype=torch.uint8, device=self._device)
        return Buffers(**{name: self._memory[slice(*places[name])].view(dtype) for name, (_, dtype) in sizes.items()})

    def release(self) -> None:
        """Give the memory back to the driver."""
        self._memory = torch.empty(0, dtype=torch.uint8, device=self._device)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
