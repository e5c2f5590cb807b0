"""Finds networks that amplify rounding errors: deep ones without shortcuts. Engine `fast` runs them in the kernels of `exact`.

When rounding flips the sign of a unit near zero, the statistics of later layers move, and with them other units. Shortcuts keep
this effect small. Along a plain stack of layers it grows with every layer, until two orders of summation give two different
scores; even `exact` then scores differently in float32 and in float64. The effect grows faster where statistics cover only a
few values, on maps of one pixel or four.
"""

from __future__ import annotations

from math import prod
from typing import Final

from naswot_ray.network import ops
from naswot_ray.network.plan import Plan

MAX_PLAIN_DEPTH: Final = 48
"""The largest plain depth that `fast` runs itself.

Among 6,000 random networks of twelve spaces, all up to this depth are within 7.1e-4 of `exact`. The first one that is off by
more than 1e-3 has a depth of 61."""

MAX_DEPTH_ON_SMALL_MAPS: Final = {1: 5, 4: 16}
"""Pixels -> the largest plain depth for networks whose smallest map has no more pixels than that.

Statistics over a few values amplify rounding as well. NDS's cell networks for ImageNet shrink images 32 pixels wide to maps
of one pixel: 6 of 2,500 were off by more than 1e-3, at depths of 18 to 29. So do AnyNets on images 16 pixels wide, where
networks of depth 6 are off by up to 8.8e-4. On images 64 pixels wide, with maps of four pixels, one of 2,000 was off by more
than 1e-3, at a depth of 25."""


def enlarges_rounding(plan: Plan) -> bool:
    """Whether two orders of summation may give scores more than 1e-3 apart."""
    smallest = min([step.shape[1] * step.shape[2] for step in plan.steps if type(step.op) is ops.Conv], default=1)
    limits = [depth for pixels, depth in MAX_DEPTH_ON_SMALL_MAPS.items() if smallest <= pixels]
    return plain_depth(plan) > min([MAX_PLAIN_DEPTH, *limits])


def plain_depth(plan: Plan) -> int:
    """The depth of a network if its shortcuts are taken.

    The depth of a tensor is the number of convolutions on the shortest path to it from the images. The result is the largest
    depth among the tensors that counted ReLUs read.
    """
    depths: dict[int, int] = {}
    for step in plan.steps:
        before = min([depths[i] for i in step.inputs], default=0)
        depths[step.node] = before + (1 if type(step.op) is ops.Conv else 0)
    return max([depths[codes.node] for codes in plan.codes if codes.node is not None], default=0)


def exact_bytes(plan: Plan, num_images: int) -> int:
    """Estimates the peak memory of `exact`, in bytes.

    It holds the tensors that are still to be read, and while a step runs also a copy of that step's tensors in another layout.
    """
    sizes: dict[int, int] = {}
    most = 0
    for step in plan.steps:
        sizes[step.node] = 4 * num_images * prod(step.shape)
        most = max(most, sum(sizes.values()) + sizes[step.node] + sum(sizes[i] for i in step.inputs))
        for node in step.last_used:
            del sizes[node]
    return most
