"""Packs NAS-Bench-101's cells into short texts from which the page draws them. NAS-Bench-201's arch_ids need no packing."""

from __future__ import annotations

import json

OPS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"""The operations in the benchmark's order. A packed cell names an operation by its position here."""


def pack_cell(architecture: str | None) -> str | None:
    """Pack a NAS-Bench-101 cell as `LABELS:EDGES`, for example `012:3f`; None stays None.

    LABELS has a digit for each vertex between input and output. EDGES is a hexadecimal number: its bit x + y (y - 1) / 2 is
    the edge from vertex x to vertex y > x.

    Args:
        architecture: the cell as JSON, `{"matrix": ..., "ops": ...}`.
    """
    if architecture is None:
        return None
    cell = json.loads(architecture)
    matrix = cell["matrix"]
    bits = sum(1 << (x + y * (y - 1) // 2) for y in range(len(matrix)) for x in range(y) if matrix[x][y])
    return "".join(str(OPS.index(op)) for op in cell["ops"][1:-1]) + f":{bits:x}"
