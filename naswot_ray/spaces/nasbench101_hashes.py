"""The module hashes of NAS-Bench-101: each cell's key in the benchmark, equal for isomorphic cells.

Ying et al. (ICML 2019), section 2; the benchmark's `lib/graph_util.py`: every vertex starts from the MD5 of its numbers of
edges and its label; as many times as there are vertices, each takes the MD5 of its neighbours' hashes and its own; the cell's
hash is the MD5 of the sorted result. Text, not bytes, is hashed, so the details of the text are part of the definition.

One hash takes tens of microseconds. All of them, which only looking a cell up by its hash needs, are computed once and kept in
the user's cache directory.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from naswot_ray.cache import cache_directory
from naswot_ray.spaces.nasbench101_cells import Cell, Cells, list_cells

INPUT_LABEL: Final = -1
OUTPUT_LABEL: Final = -2
DIGEST_BYTES: Final = 16

CACHE_FILE: Final = "nasbench101-hashes.bin"
CACHE_SHA256: Final = "1f4a7db984f8bb44da50e51b6c7e830bd26a761a39d60997ef500b7610ef0449"
"""Of all hashes in the space's order, 16 bytes each: what a cache file must hold."""

_md5 = partial(hashlib.md5, usedforsecurity=False)


@dataclass(frozen=True)
class HashTable:
    """The hashes of all cells.

    Attributes:
        digests: shape (423624, 16), uint8, in the space's order.
        by_hash: shape (423624,), int32: the cells' positions in the order of their hashes.
    """

    digests: npt.NDArray[np.uint8]
    by_hash: npt.NDArray[np.int32]

    def hash(self, index: int) -> str:
        """The hash of the cell at a position of the space."""
        return self._digest(index).hex()

    def rank(self, module_hash: str) -> int | None:
        """Position of a hash among the sorted hashes; None if no cell has it."""
        digest = bytes.fromhex(module_hash)
        rank = bisect_left(self.by_hash, digest, key=self._digest)
        return rank if rank < len(self.by_hash) and self._digest(self.by_hash[rank]) == digest else None

    def index(self, module_hash: str) -> int | None:
        """Position in the space of the cell that has a hash; None if no cell has it."""
        rank = self.rank(module_hash)
        return None if rank is None else int(self.by_hash[rank])

    def _digest(self, index: int | np.int32) -> bytes:
        return bytes(self.digests[index])


def hash_cell(cell: Cell) -> str:
    """The module hash of a pruned cell, in or outside of the space: 32 hexadecimal digits."""
    (module_hash,) = hash_labelings(cell.bits, [cell.labels])
    return module_hash


def hash_labelings(bits: int, labelings: Sequence[Sequence[int]]) -> list[str]:
    """The module hashes of cells of one matrix.

    Args:
        bits: the edges, see `Cell.bits`.
        labelings: the labels of the interior vertices of each cell.
    """
    num_vertices = len(labelings[0]) + 2
    vertices = range(num_vertices)
    cell = Cell(bits, tuple(labelings[0]))
    sources = [cell.sources(vertex) for vertex in vertices]
    targets = [[y for y in vertices if x in sources[y]] for x in vertices]
    labels = [[INPUT_LABEL] * len(labelings), *map(list, zip(*labelings, strict=True)), [OUTPUT_LABEL] * len(labelings)]
    # Vertex by vertex, a column with an entry per cell: the loop over the cells is then a comprehension.
    hashes = [_initial(len(targets[v]), len(sources[v]), labels[v]) for v in vertices]
    for _ in vertices:
        hashes = [
            [
                _md5(f"{before}|{behind}|{own}".encode()).hexdigest()
                for before, behind, own in zip(
                    _joined([hashes[x] for x in sources[v]]), _joined([hashes[y] for y in targets[v]]), hashes[v], strict=False
                )
            ]
            for v in vertices
        ]
    return [_md5(str(sorted(of_vertices)).encode()).hexdigest() for of_vertices in zip(*hashes, strict=True)]


def load_hashes() -> HashTable:
    """All hashes, from the cache directory, or computed (half a minute) and then left there.

    A cache that is damaged is computed again, one that cannot be written is done without.
    """
    path = cache_directory() / CACHE_FILE
    content = b""
    with suppress(OSError):
        content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != CACHE_SHA256:
        content = compute_digests(list_cells()).tobytes()
        with suppress(OSError):
            _write(path, content)
    digests = np.frombuffer(content, np.uint8).reshape(-1, DIGEST_BYTES)
    high, low = digests.view(">u8").T
    return HashTable(digests, np.lexsort((low, high)).astype(np.int32))


def compute_digests(cells: Cells) -> npt.NDArray[np.uint8]:
    """The hashes of all cells, shape (n, 16), uint8."""
    # The cells of a matrix follow each other. Bits tell the number of vertices too, since the last one has an edge in.
    starts = np.flatnonzero(np.diff(cells.bits, prepend=0))
    hashes: list[str] = []
    for start, stop in itertools.pairwise([*starts.tolist(), len(cells)]):
        group = [cells[i] for i in range(start, stop)]
        hashes += hash_labelings(group[0].bits, [cell.labels for cell in group])
    return np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(-1, DIGEST_BYTES)


def _initial(num_out: int, num_in: int, labels: Sequence[int]) -> list[str]:
    hashes = {label: _md5(str((num_out, num_in, label)).encode()).hexdigest() for label in set(labels)}
    return [hashes[label] for label in labels]


def _joined(columns: Sequence[Sequence[str]]) -> Iterable[str]:
    """Per cell its sorted hashes as one text; without end where there are no columns."""
    match columns:
        case []:
            return itertools.repeat("")
        case [column]:
            return column
        case _:
            return map("".join, map(sorted, zip(*columns, strict=True)))


def _write(path: Path, content: bytes) -> None:
    """Write a file whole: under another name first, so that nobody ever reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)  # mkstemp's own mode would keep a shared cache from all others
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
