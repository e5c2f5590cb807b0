"""The module hashes of NAS-Bench-101: the key of a cell in the benchmark, which isomorphic cells share.

Source: Ying et al. (ICML 2019), section 2, and the benchmark's `lib/graph_util.py`. Every vertex starts with the MD5 of its
numbers of edges and its label. Then each vertex takes the MD5 of the hashes of its neighbours and its own; this is repeated as
many times as there are vertices. The hash of the cell is the MD5 of the sorted hashes of its vertices. What is hashed is text,
not bytes, so the details of the text are part of the definition.

One hash takes tens of microseconds. The table of all hashes is needed only to look a cell up by its hash. It is computed once
and kept in the cache directory of the user.
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
"""SHA-256 of a correct cache file: all hashes in the order of the space, 16 bytes each."""
_CACHE_BYTES: Final = 423_624 * DIGEST_BYTES

_md5 = partial(hashlib.md5, usedforsecurity=False)


@dataclass(frozen=True)
class HashTable:
    """The hashes of all cells.

    Attributes:
        digests: shape (423624, 16), uint8, in the space's order.
        by_hash: shape (423624,), int32: the positions of the cells, sorted by their hashes.
    """

    digests: npt.NDArray[np.uint8]
    by_hash: npt.NDArray[np.int32]

    def hash(self, index: int) -> str:
        """The hash of the cell at a position of the space."""
        return self._digest(index).hex()

    def rank(self, module_hash: str) -> int | None:
        """The position of a hash among the sorted hashes; None if no cell has it."""
        digest = bytes.fromhex(module_hash)
        rank = bisect_left(self.by_hash, digest, key=self._digest)
        return rank if rank < len(self.by_hash) and self._digest(self.by_hash[rank]) == digest else None

    def index(self, module_hash: str) -> int | None:
        """The position in the space of the cell with this hash; None if no cell has it."""
        rank = self.rank(module_hash)
        return None if rank is None else int(self.by_hash[rank])

    def _digest(self, index: int | np.int32) -> bytes:
        return bytes(self.digests[index])


def hash_cell(cell: Cell) -> str:
    """The module hash of a pruned cell, inside or outside the space: 32 hexadecimal digits."""
    (module_hash,) = hash_labelings(cell.bits, [cell.labels])
    return module_hash


def hash_labelings(bits: int, labelings: Sequence[Sequence[int]]) -> list[str]:
    """The module hashes of cells that have the same matrix.

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
    # Hashes are kept by vertex, in a column with an entry per cell, so that the loop over the cells is a comprehension.
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
    """The table of all hashes, from the cache directory. If it is not there, it is computed (half a minute) and saved.

    A damaged cache file is replaced. If the file cannot be written, the table is not cached.
    """
    path = cache_directory() / CACHE_FILE
    content = _read(path)
    if hashlib.sha256(content).hexdigest() != CACHE_SHA256:
        content = compute_digests(list_cells()).tobytes()
        with suppress(OSError):
            _write(path, content)
    digests = np.frombuffer(content, np.uint8).reshape(-1, DIGEST_BYTES)
    high, low = digests.view(">u8").T
    return HashTable(digests, np.lexsort((low, high)).astype(np.int32))


def compute_digests(cells: Cells) -> npt.NDArray[np.uint8]:
    """The hashes of all cells, shape (n, 16), uint8."""
    # Cells with the same matrix are adjacent. The bits also tell the number of vertices, since the last one has an edge in.
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
    """For each cell, its sorted hashes as one text; an endless supply of empty texts if there are no columns."""
    match columns:
        case []:
            return itertools.repeat("")
        case [column]:
            return column
        case _:
            return map("".join, map(sorted, zip(*columns, strict=True)))


def _read(path: Path) -> bytes:
    """The content of a file of the right size, or nothing. Another file could fill the memory, or be a pipe that never ends."""
    with suppress(OSError):
        if path.is_file() and path.stat().st_size == _CACHE_BYTES:
            return path.read_bytes()
    return b""


def _write(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that nobody reads an incomplete file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(descriptor, 0o644)  # with the mode that mkstemp gives, no other user could read a shared cache
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
