"""A cache of the image batches that tasks are scored on.

A grid may have ten thousand points, and all its batches together may not fit into the driver's memory. So a batch is made when
a task first needs it, and the least recently used ones are dropped. A batch is a pure function of its source, size and seed,
so a dropped one can be made again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from naswot_ray.grid.grid import Batch, Task
from naswot_ray.run.receipt import Pixels

MAX_BYTES: Final = 2**30
"""How many bytes of images the cache holds: about 680 batches of 128 images of 32 x 32 pixels. The most recent batch is kept
even if it is larger."""

Images = TypeVar("Images")


class Batches(Generic[Images]):
    """Gives tasks their batches, and caches those that were used last.

    Args:
        make: makes a batch.
        place: puts a batch where the workers can read it, such as Ray's object store, and returns a handle to it. Tasks get
            the handle. The batch stays there as long as anything refers to the handle.
    """

    def __init__(self, make: Callable[[Batch], Pixels], place: Callable[[Pixels], Images]) -> None:
        self._make = make
        self._place = place
        self._kept: dict[Batch, tuple[Images, int]] = {}  # least recently used first
        self._num_bytes = 0

    def of(self, task: Task) -> Images | None:
        """The batch that a task's shard is scored on; None for a task of the architectures table."""
        batch = task.shard.point.batch
        return None if batch is None else self._get(batch)

    def _get(self, batch: Batch) -> Images:
        if batch in self._kept:
            self._kept[batch] = self._kept.pop(batch)
            return self._kept[batch][0]
        pixels = self._make(batch)
        while self._kept and self._num_bytes + pixels.nbytes > MAX_BYTES:
            _, num_bytes = self._kept.pop(next(iter(self._kept)))
            self._num_bytes -= num_bytes
        placed = self._place(pixels)
        self._kept[batch] = placed, pixels.nbytes
        self._num_bytes += pixels.nbytes
        return placed
