"""The cell networks of NDS: samples of the spaces of NASNet, Amoeba, PNAS, ENAS and DARTS, for CIFAR and for ImageNet.

Source: Radosavovic et al., "On Network Design Spaces for Visual Recognition" (ICCV 2019), section 5; the official files'
records, as the published NASWOT code builds them with the networks of pycls. A record's `net`:

    {"genotype": {"normal": [[op, input], ...], "normal_concat": [state, ...], "reduce": ..., "reduce_concat": ...},
     "width": 16, "depth": 20, "aux": false, ...}

A cell's states 0 and 1 are its two inputs; each pair of edges makes one more state, the sum of two operations.
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
"""States of a cell that are results of earlier cells. In a reduction cell operations on them have stride 2."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One genotype: two edges for each state that the cell computes, and the states that are its result, in that order."""

    edges: tuple[Edge, ...]
    concat: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CellNet:
    """A record's network.

    Attributes:
        width: channels of an operation in the first cells; doubled at each of the two reductions.
        depth: cells, of which those at depth // 3 and 2 * depth // 3 are reduction cells.
    """

    normal: Cell
    reduce: Cell
    width: int
    depth: int


def parse(net: Mapping[str, Any]) -> CellNet:
    """Read a record's `net`; what the network does not depend on (`aux`, `drop_prob`) is left alone.

    Raises:
        ArchitectureError: naming the value that is wrong and what would be right.
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
    """What was chosen to make a network, one value a choice: operations, inputs, width and depth.

    Which states a cell's result concatenates is none of them: it follows from the inputs (all states, or those nobody reads).
    """
    edges = (*net.normal.edges, *net.reduce.edges)
    num_states = (len(net.normal.edges) // 2, len(net.reduce.edges) // 2)
    return (*num_states, net.width, net.depth, *(value for edge in edges for value in edge))


def build_cifar(b: NetworkBuilder, net: CellNet) -> int:
    """Append the network for CIFAR up to its last cell (`NetworkCIFAR`), without the auxiliary head.

    The head has no part in the classifier's logits; the published code fails on it, since its networks return a pair there.

    Returns:
        the node that the classifier pools.

    Raises:
        ValueError: the images do not fit an operation.
    """
    stem = b.batch_norm(b.conv(b.input, 3 * net.width, 3, padding=1))
    return _cells(b, net, stem, stem, reduction_prev=False)


def build_imagenet(b: NetworkBuilder, net: CellNet) -> int:
    """Append the network for ImageNet up to its last cell (`NetworkImageNet`), without the auxiliary head.

    Its stem brings the images to an eighth of their size. Returns and raises as `build_cifar`.
    """
    if net.width < 2:
        raise ArchitectureError("width 1: the stem for ImageNet begins with width // 2 channels, expected at least 2")
    half = b.batch_norm(b.conv(b.input, net.width // 2, 3, stride=2, padding=1))
    quarter = b.batch_norm(b.conv(b.relu(half), net.width, 3, stride=2, padding=1))
    # This ReLU works in place: the first cell, too, reads its result. That changes no code (the cell's preprocessing begins
    # with a ReLU), but makes the ReLU live even where nobody reads what follows it.
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
    # Where the cell before was a reduction, s0 is still twice as high and wide as s1.
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
    """Appends an operation of a cell, which keeps the number of channels, and gives the node of its result."""

    def __call__(self, b: NetworkBuilder, x: int, /, *, stride: int) -> int: ...


def _skip(b: NetworkBuilder, x: int, /, *, stride: int) -> int:
    return x if stride == 1 else _factorized_reduce(b, x, b.shape(x)[0])


def _factorized_reduce(b: NetworkBuilder, x: int, channels: int) -> int:
    """ReLU, then half of the channels from the even pixels and half from the odd ones (zeros past an odd edge), BN."""
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
"""The operations of the published code's table; every ReLU in them counts once."""


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
