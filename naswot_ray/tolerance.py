"""How far two computations of one measure may lie apart.

A measure says itself how far two engines may lie apart in float32 (`Measure.tolerance`). Coarser arithmetic moves what every
ReLU reads, and thereby all measures; this module says by how much more. `bench/precision.py` emulates it on a CPU: with 60
networks each of NAS-Bench-201, NAS-Bench-101 and NATS-Bench's size space, and 20 each of three NDS families, the largest
differences from float32 were, in tolerances of float32,

| | tf32 | bfloat16 |
|---|---|---|
| `naswot`, `naswot_paper` | 9.4 | 41 |
| `meco` | 19 | 49 |
| `expressivity` | 1.4 | 4.6 |
| `swap` | 1.2 | 2.7 |
| `naswot_layerwise` | 115 | 181 |
"""

from __future__ import annotations

import math
from typing import Final

from naswot_ray.measures.measure import KERNEL_TOLERANCE, Measure, Tolerance
from naswot_ray.network import Network

DTYPE_FACTORS: Final = {"float32": 1.0, "tf32": 20.0, "bfloat16": 200.0}
"""dtype of the arithmetic -> what it multiplies tolerances by, but for those that are per tensor."""

TENSOR_FACTOR: Final = 500.0
"""What any dtype but float32 multiplies tolerances per tensor by.

The kernel of a single tensor may be nearly singular. Its log-determinant then moves far however little a unit's input does, so
the largest differences in tf32 and bfloat16 are much alike.
"""

TOLERANCES: Final = {dtype: KERNEL_TOLERANCE.absolute * factor for dtype, factor in DTYPE_FACTORS.items()}
"""dtype of the arithmetic -> the tolerance of the measures that are one log-determinant.

On a GPU deep networks without shortcuts may differ by more: they enlarge rounding (docs/performance.md).
"""


def tolerance_in(measure: Measure, *dtypes: str) -> Tolerance:
    """How far two computations of a measure may lie apart.

    Args:
        measure: what was computed.
        dtypes: of the two computations. The coarser one counts; one that is not known counts as float32.
    """
    factor = max((DTYPE_FACTORS.get(dtype, 1.0) for dtype in dtypes), default=1.0)
    one = measure.tolerance
    return Tolerance(one.absolute * factor, one.relative * factor, one.per_tensor * (TENSOR_FACTOR if factor > 1 else 1.0))


def bound_of(measure: Measure, value: float, num_tensors: int, *dtypes: str) -> float:
    """The largest difference that two values of a measure may have.

    Args:
        measure: what was computed.
        value: one of the two values, the one that is trusted.
        num_tensors: how many tensors it was taken from, `num_tensors_of`.
        dtypes: as in `tolerance_in`.

    Returns:
        the bound; 0 where the value is infinite, as the other one has to be the same.
    """
    return 0.0 if math.isinf(value) else tolerance_in(measure, *dtypes).bound(value, num_tensors)


def num_tensors_of(network: Network) -> int:
    """How many tensors measures are taken from: the distinct ones that live ReLUs read, less those that are always zero."""
    return sum(codes.node is not None for codes in network.plan.codes)
