"""The cell networks of NDS: samples of the spaces of NASNet, Amoeba, PNAS, ENAS and DARTS, for CIFAR and for ImageNet.

Source: Radosavovic et al., "On Network Design Spaces for Visual Recognition" (ICCV 2019), section 5. Networks are built from
the records of the official files as the published NASWOT code builds them, with the networks of pycls. The `net` of a record:

    {"genotype": {"normal": [[op, input], ...], "normal_concat": [state, ...], "reduce": ..., "reduce_concat": ...},
     "width": 16, "depth": 20, "aux": false, ...}

States 0 and 1 of a cell are its two inputs. Each pair of edges makes one more state, the sum of two operations.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from naswot_ray.errors import ArchitectureError
from naswot_ray.network import NetworkBuilder
from naswot_ray.spaces.blocks import relu_conv_bn
from naswot_ray.spaces.nds_limits import MAX_CHANNELS, MAX_DEPTH, MAX_EDGES

Edge = tuple[str, int]
"""An operation, and the state that it reads."""

NUM_INPUTS = 2
"""How many states of a cell are results of earlier cells. In a reduction cell, operations on these have stride 2."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One genotype.

    Attributes:
        edges: two edges for each state that the cell computes.
        concat: the states whose concatenation, in this order, is the result.
    """

    edges: tuple[Edge, ...]
    concat: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CellNet:
    """The network of a record.

    Attributes:
        normal, reduce: the two kinds of cells.
        width: channels of the operations in the first cells; each of the two reductions doubles them.
        depth: number of cells. Those at depth // 3 and 2 * depth // 3 are reduction cells.
    """

    normal: Cell
    reduce: Cell
    width: int
    depth: int


def parse(net: Mapping[str, Any]) -> CellNet:
    """Read the `net` of a record. Entries that the network does not depend on (`aux`, `drop_prob`) are ignored.

    Raises:
        ArchitectureError: it is malformed; the message names the value that is wrong and what is expected.
    """
    genotype = net.get("genotype")
    if not isinstance(genotype, dict):
        raise ArchitectureError(f"genotype {reprlib.repr(genotype)}: expected an object with normal, reduce and their concats")
    normal, reduce = (_parse_cell(genotype, kind) for kind in ("normal", "reduce"))
    for name, most in (("width", MAX_CHANNELS), ("depth", MAX_DEPTH)):
        if not _is_natural(net.get(name), 1, most + 1):
            raise ArchitectureError(f"{name} {reprlib.repr(net.get(name))}: expected a whole number from 1 to {most:,}")
    return CellNet(normal, reduce, net["width"], net["depth"])


def choices(net: CellNet) -> tuple[Any, ...]:
    """The choices that make up a network: operations, inputs, width and depth.

    The states that the result of a cell concatenates are not a choice. They follow from the inputs: all states, or those that
    no edge reads.
    """
    edges = (*net.normal.edges, *net.reduce.edges)
    num_states = (len(net.normal.edges) // 2, len(net.reduce.edges) // 2)
    return (*num_states, net.width, net.depth, *(value for edge in edges for value in edge))


def build_cifar(b: NetworkBuilder, net: CellNet) -> int:
    """Append the network for CIFAR (`NetworkCIFAR`) up to and including its last cell, without the auxiliary head.

    The logits of the classifier do not depend on the head. The published code fails on networks with a head, because they
    return a pair.

    Returns:
        the node that the classifier pools.

    Raises:
        ValueError: the images do not fit an operation.
    """
    stem = b.batch_norm(b.conv(b.input, 3 * net.width, 3, padding=1))
    return _cells(b, net, stem, stem, reduction_prev=False)


def build_imagenet(b: NetworkBuilder, net: CellNet) -> int:
    """Append the network for ImageNet (`NetworkImageNet`) up to and including its last cell, without the auxiliary head.

    Its stem reduces images to an eighth of their size. It returns and raises the same as `build_cifar`.
    """
    if net.width < 2:
        raise ArchitectureError("width 1: the stem for ImageNet begins with width // 2 channels, expected at least 2")
    half = b.batch_norm(b.conv(b.input, net.width // 2, 3, stride=2, padding=1))
    quarter = b.batch_norm(b.conv(b.relu(half), net.width, 3, stride=2, padding=1))
    # In the published code this ReLU works in place, so the first cell reads its result too. That changes no code, because the
    # cell begins with a ReLU. But it makes the ReLU live even if nothing reads the convolution after it.
    quarter = b.relu(quarter)
    eighth = b.batch_norm(b.conv(quarter, net.width, 3, stride=2, padding=1))
    return _cells(b, net, quarter, eighth, reduction_prev=True)


def _cells(b: NetworkBuilder, net: CellNet, s0: int, s1: int, *, reduction_prev: bool) -> int:
    channels = net.width
    for number in range(net.depth):
        reduction = number in (net.depth // 3, 2 * net.depth // 3)
        if reduction:
            channels *= 2
        cell = net.reduce if reduction else net.normal
        s0, s1 = s1, _cell(b, cell, s0, s1, channels, reduction=reduction, reduction_prev=reduction_prev)
        reduction_prev = reduction
    return s1


def _cell(b: NetworkBuilder, cell: Cell, s0: int, s1: int, channels: int, *, reduction: bool, reduction_prev: bool) -> int:
    # After a reduction cell, s0 is still twice as high and wide as s1.
    s0 = _factorized_reduce(b, s0, channels) if reduction_prev else relu_conv_bn(b, s0, channels, 1)
    states = [s0, relu_conv_bn(b, s1, channels, 1)]
    results = []
    for op, source in cell.edges:
        stride = 2 if reduction and source < NUM_INPUTS else 1
        results.append(OPERATIONS[op](b, states[source], stride=stride))
        if len(results) == 2:
            states.append(b.add(*results))
            results = []
    return b.concat(*(states[i] for i in cell.concat))


class Operation(Protocol):
    """Appends an operation of a cell and returns the node of its result. The number of channels stays the same."""

    def __call__(self, b: NetworkBuilder, x: int, /, *, stride: int) -> int: ...


def _skip(b: NetworkBuilder, x: int, /, *, stride: int) -> int:
    return x if stride == 1 else _factorized_reduce(b, x, b.shape(x)[0])


def _factorized_reduce(b: NetworkBuilder, x: int, channels: int) -> int:
    """A ReLU, then half of the channels from the even pixels and half from the odd ones (with zeros past the edge), then BN."""
    if channels % 2:
        raise ArchitectureError(f"{channels} channels cannot be halved by a factorized reduction; the width must be even")
    x = b.relu(x)
    halves = [b.conv(pixels, channels // 2, 1, stride=2) for pixels in (x, b.shift(x))]
    return b.batch_norm(b.concat(*halves))


def _conv(b: NetworkBuilder, x: int, /, *, stride: int, kernel: int) -> int:
    channels = b.shape(x)[0]
    return b.batch_norm(b.conv(b.relu(x), channels, kernel, stride=stride, padding=kernel // 2))


def _crossed(b: NetworkBuilder, x: int, /, *, stride: int, kernel: int) -> int:
    """ReLU, a kernel one pixel high, one that is one pixel wide, BN."""
    channels, reach = b.shape(x)[0], kernel // 2
    x = b.conv(b.relu(x), channels, (1, kernel), stride=(1, stride), padding=(0, reach))
    return b.batch_norm(b.conv(x, channels, (kernel, 1), stride=(stride, 1), padding=(reach, 0)))


def _depthwise(b: NetworkBuilder, x: int, /, *, stride: int, kernel: int, dilation: int = 1) -> int:
    """ReLU, depthwise convolution, 1x1 convolution, BN."""
    channels = b.shape(x)[0]
    padding = dilation * (kernel // 2)
    x = b.conv(b.relu(x), channels, kernel, stride=stride, padding=padding, dilation=dilation, groups=channels)
    return b.batch_norm(b.conv(x, channels, 1))


def _depthwise_twice(b: NetworkBuilder, x: int, /, *, stride: int, kernel: int, dilation: int = 1) -> int:
    x = _depthwise(b, x, stride=stride, kernel=kernel, dilation=dilation)
    return _depthwise(b, x, stride=1, kernel=kernel, dilation=dilation)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "none": NetworkBuilder.zero,
    "avg_pool_2x2": partial(NetworkBuilder.avg_pool, kernel=2),
    "avg_pool_3x3": partial(NetworkBuilder.avg_pool, kernel=3, padding=1),
    "avg_pool_5x5": partial(NetworkBuilder.avg_pool, kernel=5, padding=2),
    "max_pool_2x2": partial(NetworkBuilder.max_pool, kernel=2),
    "max_pool_3x3": partial(NetworkBuilder.max_pool, kernel=3, padding=1),
    "max_pool_5x5": partial(NetworkBuilder.max_pool, kernel=5, padding=2),
    "max_pool_7x7": partial(NetworkBuilder.max_pool, kernel=7, padding=3),
    "skip_connect": _skip,
    "conv_1x1": partial(_conv, kernel=1),
    "conv_3x3": partial(_conv, kernel=3),
    "sep_conv_3x3": partial(_depthwise_twice, kernel=3),
    "sep_conv_5x5": partial(_depthwise_twice, kernel=5),
    "sep_conv_7x7": partial(_depthwise_twice, kernel=7),
    "dil_conv_3x3": partial(_depthwise, kernel=3, dilation=2),
    "dil_conv_5x5": partial(_depthwise, kernel=5, dilation=2),
    "dil_sep_conv_3x3": partial(_depthwise_twice, kernel=3, dilation=2),
    "conv_3x1_1x3": partial(_crossed, kernel=3),
    "conv_7x1_1x7": partial(_crossed, kernel=7),
}
"""The operations by their names in the published code. Every ReLU in them counts once."""


def _parse_cell(genotype: Mapping[str, Any], kind: str) -> Cell:
    entries = genotype.get(kind)
    if not isinstance(entries, list) or not entries or len(entries) % 2 or len(entries) > MAX_EDGES:
        found = f"{len(entries)} edges" if isinstance(entries, list) else reprlib.repr(entries)
        raise ArchitectureError(f"genotype.{kind}: {found}, expected a list of at most {MAX_EDGES} edges, two for each state")
    edges = tuple(_parse_edge(entry, f"genotype.{kind}[{i}]", NUM_INPUTS + i // 2) for i, entry in enumerate(entries))
    num_states = NUM_INPUTS + len(edges) // 2
    concat = genotype.get(f"{kind}_concat")
    if (
        not isinstance(concat, list)
        or not 0 < len(concat) <= MAX_EDGES
        or not all(_is_natural(i, 0, num_states) for i in concat)
    ):
        raise ArchitectureError(
            f"genotype.{kind}_concat {reprlib.repr(concat)}: expected a list of states out of 0..{num_states - 1}"
        )
    return Cell(edges, tuple(concat))


def _parse_edge(entry: Any, where: str, num_states: int) -> Edge:
    if not isinstance(entry, list) or len(entry) != 2:
        raise ArchitectureError(f"{where} {reprlib.repr(entry)}: expected [operation, input]")
    op, source = entry
    if not isinstance(op, str) or op not in OPERATIONS:
        raise ArchitectureError(f"{where}: unknown operation {reprlib.repr(op)}, expected one of {', '.join(OPERATIONS)}")
    if not _is_natural(source, 0, num_states):
        raise ArchitectureError(f"{where}: input {reprlib.repr(source)}, expected one of the states 0..{num_states - 1}")
    return op, source


def _is_natural(value: Any, lowest: int, limit: int) -> bool:
    return type(value) is int and lowest <= value < limit
