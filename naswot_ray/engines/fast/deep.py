"""Networks that enlarge rounding: deep ones without shortcuts. Engine `fast` leaves them to the kernels of `exact`.

A unit near zero that flips moves the statistics behind it, and so other units. Shortcuts keep that small; along a plain stack
it grows with every layer, until two orders of summation give two scores, as `exact` itself does in float32 and in float64.
Where the statistics are over a few values only, on maps of a pixel or four, it grows faster.
"""

from __future__ import annotations

from math import prod
from typing import Final

from naswot_ray.network import ops
from naswot_ray.network.plan import Plan

MAX_PLAIN_DEPTH: Final = 48
"""Of 6,000 random networks of twelve spaces all up to here are within 7.1e-4 of `exact`; the first beyond 1e-3 has 61."""

MAX_DEPTH_ON_SMALL_MAPS: Final = {1: 5, 4: 16}
"""Pixels -> plain depth, for networks that shrink images to so few pixels: statistics over a few values enlarge rounding too.

NDS's cell networks for ImageNet on images of 32 pixels have maps of one: there 6 of 2,500 were beyond 1e-3, of depths
18 to 29. AnyNets on 16 pixels have too, and of depth 6 come to 8.8e-4. On 64 pixels, with maps of four, one of 2,000 was
beyond, of depth 25."""


def enlarges_rounding(plan: Plan) -> bool:
    """Whether two orders of summation may give scores more than 1e-3 apart."""
    smallest = min([step.shape[1] * step.shape[2] for step in plan.steps if type(step.op) is ops.Conv], default=1)
    limits = [depth for pixels, depth in MAX_DEPTH_ON_SMALL_MAPS.items() if smallest <= pixels]
    return plain_depth(plan) > min([MAX_PLAIN_DEPTH, *limits])


def plain_depth(plan: Plan) -> int:
    """Convolutions on the shortest way from the images to a tensor that a counted ReLU reads, of the farthest such tensor."""
    depths: dict[int, int] = {}
    for step in plan.steps:
        before = min([depths[i] for i in step.inputs], default=0)
        depths[step.node] = before + (1 if type(step.op) is ops.Conv else 0)
    return max([depths[codes.node] for codes in plan.codes if codes.node is not None], default=0)


def exact_bytes(plan: Plan, num_images: int) -> int:
    """About what `exact` takes at most: the tensors that are still read, and a step's own once more, laid out anew."""
    sizes: dict[int, int] = {}
    most = 0
    for step in plan.steps:
        sizes[step.node] = 4 * num_images * prod(step.shape)
        most = max(most, sum(sizes.values()) + sizes[step.node] + sum(sizes[i] for i in step.inputs))
        for node in step.last_used:
            del sizes[node]
    return most
