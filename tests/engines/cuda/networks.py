"""Networks for the tests of this folder."""

from __future__ import annotations

import pytest

from naswot_ray.engines.weights import SeededWeights, WeightSource
from naswot_ray.network import Network, NetworkBuilder
from naswot_ray.spaces import get_space, nasbench201
from tests.interpreter import INTERPRETED

CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|avg_pool_3x3~0|skip_connect~1|nor_conv_3x3~2|"
NOTHING = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def of_space(name: str, height: int) -> Network:
    """An architecture of a space that needs no file. The one of NAS-Bench-101 has uneven channels.

    For the interpreter, each stage has one cell instead of five or three: the others repeat it.
    """
    shape = (3, height, height)
    with pytest.MonkeyPatch.context() as patch:
        if INTERPRETED:
            patch.setattr(nasbench201, "CELLS_PER_STAGE", 1)
        if name == "nasbench101":
            space = get_space(name, cells_per_stack=1) if INTERPRETED else get_space(name)
            return space.network(space[1000], input_shape=shape)
        arch_ids = {"nasbench201": CELL, "nats_sss": "8:16:24:40:64"}
        return get_space(name).network(arch_ids[name], input_shape=shape)


def of_every_operation(height: int, arch_id: str = "every operation") -> Network:
    """A network with all operations, and with the combinations of them that none of the spaces above has."""
    b = NetworkBuilder((3, height, height))
    stem = b.relu(b.batch_norm(b.conv(b.input, 12, 3, padding=1)))
    depthwise = b.conv(b.relu(stem), 12, 5, padding=4, dilation=2, groups=12)
    grouped = b.batch_norm(b.conv(stem, 24, 3, padding=1, groups=3))
    separable = b.batch_norm(b.conv(b.conv(stem, 12, (1, 7), padding=(0, 3)), 12, (7, 1), padding=(3, 0)))
    both = b.add(depthwise, separable)
    wide = b.relu(b.concat(both, b.truncate(grouped, 7), b.shift(stem)), multiplicity=2)
    halved = b.relu(b.batch_norm(b.max_pool(wide, 3, stride=2, padding=1)))
    mean = b.avg_pool(b.conv(wide, 130, 1), 2, stride=2)
    dense = b.relu(b.batch_norm(mean))
    nothing = b.relu(b.zero(dense))
    strided = b.conv(halved, 130, 3, stride=(2, 2), padding=(1, 1))
    total = b.add(b.avg_pool(dense, 3, stride=2, padding=1), strided, b.zero(dense, stride=2), b.avg_pool(nothing, 2, stride=2))
    last = b.relu(b.batch_norm(total))
    return b.build(b.linear(b.global_avg_pool(last), 10), arch_id=arch_id)


def of_every_value(height: int) -> Network:
    """A network whose ReLUs read all kinds of values that a program does not store by itself."""
    b = NetworkBuilder((3, height, height))
    images = b.relu(b.input)
    raw = b.conv(b.relu(images), 8, 3, padding=1)
    x = b.relu(raw)
    left, right = b.conv(x, 5, 1), b.conv(x, 6, 1)
    joined = b.relu(b.batch_norm(b.concat(left, right)))
    partly_zero = b.relu(b.concat(b.truncate(b.batch_norm(right), 4), b.zero(left)))
    partly_rectified = b.relu(b.concat(b.relu(b.batch_norm(left)), b.batch_norm(right), raw))
    overlapping = b.relu(b.concat(b.truncate(raw, 3), raw))
    parts = [b.conv(partly_zero, 7, 1), b.conv(partly_rectified, 7, 3, padding=1), b.conv(overlapping, 7, 1)]
    total = b.add(b.batch_norm(b.conv(joined, 7, 1)), *parts)
    last = b.relu(total)
    mean = b.relu(b.global_avg_pool(b.batch_norm(b.conv(last, 4, 1))))
    return b.build(b.linear(mean, 10), arch_id="every value")


def without_relu(height: int) -> Network:
    """A network in which no ReLU counts."""
    b = NetworkBuilder((3, height, height))
    b.relu(b.conv(b.input, 8, 3, padding=1))
    return b.build(b.linear(b.global_avg_pool(b.conv(b.input, 8, 1)), 10), arch_id="without ReLU")


def small(height: int, arch_id: str = "small") -> Network:
    """A network that takes little time."""
    b = NetworkBuilder((3, height, height))
    x = b.relu(b.batch_norm(b.conv(b.input, 16, 3, padding=1)))
    x = b.relu(b.batch_norm(b.conv(x, 16, 1)))
    return b.build(b.linear(b.global_avg_pool(x), 10), arch_id=arch_id)


def given(network: Network, seed: int = 0) -> WeightSource:
    """The weights of a seed, but drawn on the host."""
    source = SeededWeights(network, seed)
    return lambda layer: source(layer)
