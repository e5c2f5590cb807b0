"""Which parts a dataset has and what rows each of them holds: one listing per table, and a look at parts without a receipt."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from naswot_ray.dataset import layout, parts, receipts
from naswot_ray.dataset.parts import PartState, WrittenPart
from naswot_ray.dataset.storage import Storage, StoredFile
from naswot_ray.run.grid import Point, Shard, point_of

NUM_READERS = 16
"""Footers read at once: reading one waits for the storage, not for the processor."""


class Inventory:
    """The parts of a dataset at one moment. What a part holds is found out when it is asked for, and once.

    Args:
        storage: the dataset.

    Attributes:
        inspected: the parts that were looked into, since no receipt told of them.

    Raises:
        DatasetError: the storage cannot be read.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._known = receipts.read_all(storage)
        self._there: dict[Point, dict[int, StoredFile]] = {}
        self._found: dict[Shard, PartState] = {}
        self.inspected: list[WrittenPart] = []
        for folder in (layout.ARCHITECTURES, layout.SCORES):
            for file in storage.list_files(folder):
                part = layout.table_file(file.path)
                if part is not None and part.number is not None:
                    self._there.setdefault(point_of(part), {})[part.number] = file

    @property
    def points(self) -> list[Point]:
        """The points of the grid that have parts, in the order of their files."""
        return list(self._there)

    def numbers(self, point: Point) -> list[int]:
        """The numbers of the parts that a point has."""
        return list(self._there.get(point, ()))

    def states(self, shards: Iterable[Shard]) -> dict[Shard, PartState]:
        """What the parts of some shards hold; shards without a part are left out.

        Raises:
            DatasetError: a part that was looked into is damaged, or holds rows of another shard.
        """
        found: dict[Shard, PartState] = {}
        unknown: list[Shard] = []
        for shard in shards:
            file = self._there.get(shard.point, {}).get(shard.number)
            if file is None:
                continue
            receipt = self._known.get(file.path)
            if shard in self._found:
                found[shard] = self._found[shard]
            elif receipt is not None and receipt.size == file.size:
                found[shard] = receipt.state
            else:
                unknown.append(shard)
        if not unknown:  # a thousand points may ask, one after the other
            return found
        with ThreadPoolExecutor(NUM_READERS) as pool:
            for shard, written in zip(unknown, pool.map(self._inspect, unknown), strict=True):
                found[shard] = self._found[shard] = written.state
                self.inspected.append(written)
        return found

    def _inspect(self, shard: Shard) -> WrittenPart:
        size = self._there[shard.point][shard.number].size
        return WrittenPart(shard.path, size, parts.inspect(self._storage, shard.path, shard.range))
