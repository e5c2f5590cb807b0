"""Cells as short text that the page draws: NAS-Bench-201's are their arch_ids, NAS-Bench-101's are packed here."""

from __future__ import annotations

import json

OPS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"""An operation is its position here; the benchmark's own order."""


def pack_cell(architecture: str | None) -> str | None:
    """A NAS-Bench-101 cell as `LABELS:EDGES`, as in `012:3f`; None for None.

    LABELS is a digit for each vertex between input and output. EDGES is a hexadecimal number: bit x + y (y - 1) / 2 is the edge
    from vertex x to vertex y > x.

    Args:
        architecture: `{"matrix": ..., "ops": ...}`.
    """
    if architecture is None:
        return None
    cell = json.loads(architecture)
    matrix = cell["matrix"]
    bits = sum(1 << (x + y * (y - 1) // 2) for y in range(len(matrix)) for x in range(y) if matrix[x][y])
    return "".join(str(OPS.index(op)) for op in cell["ops"][1:-1]) + f":{bits:x}"
