"""How far two computations of one measure may differ.

A measure states how far two engines may differ in float32 (`Measure.tolerance`). Coarser arithmetic changes what every ReLU
reads, and thereby all measures. This module states how much larger the difference may then be. `bench/precision.py` emulates
the arithmetic on a CPU. It used 60 networks each of NAS-Bench-201, NAS-Bench-101 and NATS-Bench's size space, and 20 each of
three NDS families. The largest differences from float32, as multiples of the float32 tolerance, were

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
"""dtype of the arithmetic -> the factor that tolerances are multiplied by. For those per tensor see `TENSOR_FACTOR`."""

TENSOR_FACTOR: Final = 500.0
"""The factor that tolerances per tensor are multiplied by in any dtype but float32.

The kernel of a single tensor may be nearly singular. A tiny change of a unit's input can then change its log-determinant a lot,
so the largest differences in tf32 and bfloat16 are similar.
"""

TOLERANCES: Final = {dtype: KERNEL_TOLERANCE.absolute * factor for dtype, factor in DTYPE_FACTORS.items()}
"""dtype of the arithmetic -> the tolerance of the measures that are one log-determinant.

On a GPU deep networks without shortcuts may differ by more, because they amplify rounding errors (docs/performance.md).
"""


def tolerance_in(measure: Measure, *dtypes: str) -> Tolerance:
    """How far two computations of a measure may differ.

    Args:
        measure: what was computed.
        dtypes: the arithmetic of the two computations. The coarser one decides; an unknown one counts as float32.
    """
    factor = max((DTYPE_FACTORS.get(dtype, 1.0) for dtype in dtypes), default=1.0)
    one = measure.tolerance
    return Tolerance(one.absolute * factor, one.relative * factor, one.per_tensor * (TENSOR_FACTOR if factor > 1 else 1.0))


def bound_of(measure: Measure, value: float, num_tensors: int, *dtypes: str) -> float:
    """The largest difference that two values of a measure may have.

    Args:
        measure: what was computed.
        value: the one of the two values that is trusted.
        num_tensors: how many tensors the measure was taken from (`num_tensors_of`).
        dtypes: as in `tolerance_in`.

    Returns:
        the bound. It is 0 if the value is infinite, because the other value must then be the same.
    """
    return 0.0 if math.isinf(value) else tolerance_in(measure, *dtypes).bound(value, num_tensors)


def num_tensors_of(network: Network) -> int:
    """How many tensors measures are taken from: the distinct tensors that live ReLUs read, without those that are always 0."""
    return sum(codes.node is not None for codes in network.plan.codes)
