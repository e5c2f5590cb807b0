"""The AnyNet networks of NDS: ResNet, ResNeXt-A, ResNeXt-B and Vanilla.

Source: Radosavovic et al., "On Network Design Spaces for Visual Recognition" (ICCV 2019). Networks are built from the records
of the official files as the published NASWOT code builds them, with the networks of pycls. The lists in the `net` of a record
have a value for each stage:

    {"block_type": "res_bottleneck_block", "ds": [depth, ...], "ws": [width, ...], "ss": [stride, ...],
     "bot_muls": [bottleneck multiplier, ...], "num_gs": [width of a group, ...]}

The last two (also called `bms` and `gws`) are empty if the block has no bottleneck. The name `num_gs` suggests a number of
groups, but the published code uses it as the width of a group, so every published score depends on that.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final, Literal

from naswot_ray.errors import ArchitectureError
from naswot_ray.network import NetworkBuilder
from naswot_ray.spaces.nds_limits import MAX_CHANNELS, MAX_DEPTH, MAX_EDGES, MAX_MULTIPLIER

STEM_WIDTH = 12
"""Channels of the stem in every family. The published code fixes this number, whatever a record says."""

Block = Literal["plain", "basic", "bottleneck"]

BLOCKS: Final[Mapping[str, Block]] = {
    "vanilla_block": "plain",
    "double_plain_block": "plain",
    "res_basic_block": "basic",
    "res_bottleneck_block": "bottleneck",
}
"""Name of a block in the official files -> block."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks of the same width.

    Attributes:
        depth: number of blocks.
        width: output channels of each block.
        stride: stride of the first block; the others have stride 1.
        multiplier: the channels inside a bottleneck, as a multiple of the width; None if the block has no bottleneck.
        group_width: channels per group of the convolution inside a bottleneck; None if the block has no bottleneck.
    """

    depth: int
    width: int
    stride: int
    multiplier: float | None = None
    group_width: int | None = None


@dataclass(frozen=True, slots=True)
class AnyNet:
    """The network of a record."""

    block: Block
    stages: tuple[Stage, ...]


def parse(net: Mapping[str, Any]) -> AnyNet:
    """Read the `net` of a record.

    Raises:
        ArchitectureError: it is malformed; the message names the value that is wrong and what is expected.
    """
    block_type = net.get("block_type")
    if not isinstance(block_type, str) or block_type not in BLOCKS:
        raise ArchitectureError(f"unknown block_type {reprlib.repr(block_type)}, expected one of {', '.join(BLOCKS)}")
    block = BLOCKS[block_type]
    names = ["ds", "ws", "ss"]
    columns = [_entries(net, name) for name in names]
    for name, alias in (("bot_muls", "bms"), ("num_gs", "gws")):
        name = alias if alias in net else name
        entries = _entries(net, name)
        if block == "bottleneck":
            names.append(name)
            columns.append(entries)
        elif entries:
            raise ArchitectureError(f"{name} {reprlib.repr(entries)}: expected none, a {block_type} has no bottleneck")
    if not columns[0]:
        raise ArchitectureError("ds []: expected a depth for each stage")
    for name, entries in zip(names, columns, strict=True):
        if len(entries) != len(columns[0]):
            raise ArchitectureError(
                f"{name} {reprlib.repr(entries)}: expected a value for each of the {len(columns[0])} stages, as many as ds"
            )
    if len(columns[0]) > MAX_EDGES:
        raise ArchitectureError(f"ds {reprlib.repr(columns[0])}: {len(columns[0]):,} stages, expected at most {MAX_EDGES}")
    stages = tuple(_parse_stage(i, names, values) for i, values in enumerate(zip(*columns, strict=True)))
    if (depth := sum(stage.depth for stage in stages)) > MAX_DEPTH:
        raise ArchitectureError(f"ds {reprlib.repr(columns[0])}: {depth:,} blocks, expected at most {MAX_DEPTH:,}")
    return AnyNet(block, stages)


def choices(net: AnyNet) -> tuple[Any, ...]:
    """The choices that make up a network: the block, and the parameters of each stage."""
    return (net.block, *(value for stage in net.stages for value in astuple(stage)))


def build(b: NetworkBuilder, net: AnyNet, *, pooled_stem: bool) -> int:
    """Append the network up to and including its last stage.

    Args:
        b: the builder to append to.
        net: the network.
        pooled_stem: True for the stem `res_stem_in`, which reduces images to a quarter of their size; False for
            `simple_stem_in`, which reduces them to half.

    Returns:
        the node that the classifier pools.

    Raises:
        ValueError: the images do not fit an operation.
    """
    x = _conv_bn(b, b.input, STEM_WIDTH, 7 if pooled_stem else 3, stride=2)
    x = b.relu(x)
    if pooled_stem:
        x = b.max_pool(x, 3, stride=2, padding=1)
    for stage in net.stages:
        for number in range(stage.depth):
            x = _block(b, x, net.block, stage, stride=stage.stride if number == 0 else 1)
    return x


def _block(b: NetworkBuilder, x: int, block: Block, stage: Stage, *, stride: int) -> int:
    if block == "plain":
        x = b.relu(_conv_bn(b, x, stage.width, 3, stride=stride))
        return b.relu(_conv_bn(b, x, stage.width, 3))
    # The published code computes the shortcut first.
    changes_shape = b.shape(x)[0] != stage.width or stride != 1
    shortcut = _conv_bn(b, x, stage.width, 1, stride=stride) if changes_shape else x
    if block == "basic":
        x = b.relu(_conv_bn(b, x, stage.width, 3, stride=stride))
        x = _conv_bn(b, x, stage.width, 3)
    else:
        channels, groups = _inner(stage)
        x = b.relu(_conv_bn(b, x, channels, 1))
        x = b.relu(_conv_bn(b, x, channels, 3, stride=stride, groups=groups))
        x = _conv_bn(b, x, stage.width, 1)
    return b.relu(b.add(shortcut, x))


def _conv_bn(b: NetworkBuilder, x: int, channels: int, kernel: int, *, stride: int = 1, groups: int = 1) -> int:
    return b.batch_norm(b.conv(x, channels, kernel, stride=stride, padding=kernel // 2, groups=groups))


def _inner(stage: Stage) -> tuple[int, int]:
    """The channels inside a bottleneck, and the number of groups of its convolution."""
    assert stage.multiplier is not None
    assert stage.group_width is not None
    channels = round(stage.width * stage.multiplier)
    return channels, channels // stage.group_width


def _parse_stage(number: int, names: Sequence[str], values: Sequence[Any]) -> Stage:
    for name, value in zip(names, values, strict=True):
        if name in ("bot_muls", "bms"):
            if type(value) not in (int, float) or not 0 < value <= MAX_MULTIPLIER:
                raise ArchitectureError(
                    f"{name}[{number}] {reprlib.repr(value)}: expected a number greater than 0, at most {MAX_MULTIPLIER:,}"
                )
        elif type(value) is not int or not 1 <= value <= MAX_CHANNELS:
            raise ArchitectureError(
                f"{name}[{number}] {reprlib.repr(value)}: expected a whole number from 1 to {MAX_CHANNELS:,}"
            )
    stage = Stage(*values)
    if stage.multiplier is not None:
        channels, groups = _inner(stage)
        if groups == 0 or channels % groups:
            raise ArchitectureError(
                f"{names[-1]}[{number}] {stage.group_width}: the {channels} channels of the bottleneck do not divide into "
                f"{channels} // {stage.group_width} = {groups} equal groups"
            )
    return stage


def _entries(net: Mapping[str, Any], name: str) -> list[Any]:
    # The published code treats null as an empty list.
    entries = net.get(name) or []
    if not isinstance(entries, list):
        raise ArchitectureError(f"{name} {reprlib.repr(entries)}: expected a list")
    return entries
