"""Reads the module hashes of NAS-Bench-101 from its own table."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from naswot_ray.spaces.nasbench101_cells import edge_bit


def published_digests(table: Path) -> bytes:
    """The module hashes of the benchmark's own table in the space's order, 16 bytes each.

    The order follows from the table's matrices and operations: by bits, then labels. No cell is hashed.
    """
    columns = pq.read_table(table, columns=["module_hash", "adjacency", "op_codes"])
    adjacencies = columns["adjacency"].combine_chunks().dictionary_encode()
    bits = np.array([_bits(adjacency) for adjacency in adjacencies.dictionary.to_pylist()])[adjacencies.indices.to_numpy()]
    labels = [int(op_codes or "0", 3) for op_codes in columns["op_codes"].to_pylist()]
    hashes = columns["module_hash"].to_pylist()
    return bytes.fromhex("".join(hashes[row] for row in np.lexsort((labels, bits))))


def _bits(adjacency: str) -> int:
    size = math.isqrt(len(adjacency))
    return sum(1 << edge_bit(x, y) for x in range(size) for y in range(size) if adjacency[x * size + y] == "1")
