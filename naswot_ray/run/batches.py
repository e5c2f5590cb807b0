"""The batches of images that a run's tasks are scored on: made when a task needs one, and kept while there is room.

A grid may have ten thousand points, whose batches together are larger than the driver's memory. A batch is a pure function of
its source, size and seed, so that one which had to go is simply made again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from naswot_ray.grid.grid import Batch, Task
from naswot_ray.run.receipt import Pixels

MAX_BYTES: Final = 2**30
"""How many bytes of images are kept, the last batch whatever its size: 650 of 128 images of 32 pixels."""

Images = TypeVar("Images")


class Batches(Generic[Images]):
    """Gives tasks their batches; those that were used last are kept.

    Args:
        make: makes a batch.
        place: brings it where the workers find it, such as an object store; what it gives is what tasks get. The batch stays
            there as long as somebody holds that.
    """

    def __init__(self, make: Callable[[Batch], Pixels], place: Callable[[Pixels], Images]) -> None:
        self._make = make
        self._place = place
        self._kept: dict[Batch, tuple[Images, int]] = {}  # least recently used first
        self._num_bytes = 0

    def of(self, task: Task) -> Images | None:
        """The batch that a task's shard is scored on; None for the architectures table."""
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
