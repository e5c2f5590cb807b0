"""Keeps one block of device memory for everything that a group stores, and reuses it for the next groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch

from naswot_ray.engines.cuda.group import Launch, Merged
from naswot_ray.engines.cuda.tables import KEY_COLUMNS, Kind, Lowered
from naswot_ray.measures.statistics import PATTERN_IMAGES, Statistic

SHARE = 0.8
"""Fraction of the free memory that a group may take by our estimate. The remainder covers what the estimate misses."""

_ALIGNMENT = 512
"""Arrays begin at multiples of this many bytes, which is more than any access needs."""


@dataclass(frozen=True, slots=True)
class Buffers:
    """A group's arrays, all flat.

    Attributes:
        arena: activations, in the engine's storage dtype; the images are at its head.
        weights: weights of all layers, in the same dtype.
        stats: means and inverse standard deviations, float32.
        partials: partial results of the tiles and splits of one launch at a time, float32.
        words: codes, 32 bits to an int32.
        covariances: covariances of channels, float64.
        firsts: values of the first image, in the storage dtype.
    """

    arena: torch.Tensor
    weights: torch.Tensor
    stats: torch.Tensor
    partials: torch.Tensor
    words: torch.Tensor
    covariances: torch.Tensor
    firsts: torch.Tensor


class Workspace:
    """Memory that groups use one after the other.

    Kernels of one stream run in order, so the next group can be launched before the last one has ended.
    """

    def __init__(self, device: torch.device, storage: torch.dtype) -> None:
        self._device, self._storage = device, storage
        self._memory = torch.empty(0, dtype=torch.uint8, device=device)

    def free_bytes(self) -> int | None:
        """Memory available to a group, including what this workspace holds already; None if it is not known."""
        if self._device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(self._device)
        unused = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return free + unused + self._memory.nbytes

    def estimate(self, one: Lowered, num_images: int, wanted: Collection[Statistic]) -> int:
        """Estimate the bytes that an architecture takes in a group."""
        sizes, storage = one.sizes, self._storage.itemsize
        # Partial statistics take 2 floats for each channel of 128 pixels. A tensor may be padded to 16 channels.
        partials = max(sizes["arena"] * storage // 16, _product_bytes(one, num_images))
        found = 16 * num_images**2
        if Statistic.TENSOR_LOG_DETS in wanted:
            found += 4 * len(one.tensor_units) * num_images**2
        if Statistic.PATTERNS in wanted:
            found += 1 << PATTERN_IMAGES
        stored = storage * (sizes["arena"] + sizes["weights"] + sizes["firsts"]) + 4 * (sizes["stats"] + sizes["words"])
        # The solver of eigenvalues works on a copy of the matrices.
        return stored + partials + found + 2 * 8 * sizes["covariances"]

    def buffers(self, merged: Merged, num_images: int) -> Buffers:
        """Lay out the arrays of a group in place of the last group's.

        Raises:
            torch.OutOfMemoryError: the arrays do not fit. The workspace is then empty.
        """
        partials = max((launch.partials(num_images) for launch in merged.launches), default=0)
        sizes: Mapping[str, tuple[int, torch.dtype]] = {
            "arena": (merged.sizes["arena"], self._storage),
            "weights": (merged.sizes["weights"], self._storage),
            "stats": (merged.sizes["stats"], torch.float32),
            "partials": (partials, torch.float32),
            "words": (merged.sizes["words"], torch.int32),
            "covariances": (merged.sizes["covariances"], torch.float64),
            "firsts": (merged.sizes["firsts"], self._storage),
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


def _product_bytes(one: Lowered, num_images: int) -> int:
    """Bytes that the sums of the covariances' splits take, at the step where they take the most."""
    if Kind.COVARIANCE not in one.jobs:
        return 0
    by_step: defaultdict[tuple[int, ...], int] = defaultdict(int)
    for key in one.jobs[Kind.COVARIANCE][:, :KEY_COLUMNS].tolist():
        stage, level, *shape = key
        by_step[stage, level] += 4 * Launch(Kind.COVARIANCE, tuple(shape), 0, 1).partials(num_images)
    return max(by_step.values())
