"""NATS-Bench's size space (SSS): a fixed cell, and five numbers of channels to choose.

Source: Dong et al., "NATS-Bench" (TPAMI 2021), section 3.1. Channel strings are those of the benchmark's files:
`8:16:24:32:40`.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from naswot_ray.citation import Citation
from naswot_ray.errors import ArchitectureError
from naswot_ray.network import Network, NetworkBuilder
from naswot_ray.spaces.base import Space
from naswot_ray.spaces.blocks import relu_conv_bn, residual_block
from naswot_ray.spaces.facts import Facts
from naswot_ray.spaces.notations import plain, whole_numbers

CHANNELS = tuple(range(8, 65, 8))
NUM_LAYERS = 5


class NatsSss(Space):
    """All 32,768 strings of five channel numbers, each one of 8, 16, ..., 64.

    The order is the official one: lexicographic by the five numbers.
    """

    name = "nats_sss"
    notations = "a channel string such as '8:16:24:32:40', the index of the benchmark, or five numbers of channels"
    facts = Facts(
        title="NATS-Bench's size space",
        citation=Citation(
            key="dong2021nats",
            title="{NATS-Bench}: Benchmarking {NAS} Algorithms for Architecture Topology and Size",
            authors=("Dong, Xuanyi", "Liu, Lu", "Musial, Katarzyna", "Gabrys, Bogdan"),
            venue="IEEE Transactions on Pattern Analysis and Machine Intelligence",
            year=2021,
            is_article=True,
        ),
        source="https://github.com/D-X-Y/NATS-Bench",
        terms="its repository's, MIT",
        arch_id_pattern=re.compile(r"\d+(:\d+){4}"),
    )

    def __len__(self) -> int:
        return int(len(CHANNELS) ** NUM_LAYERS)

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside of nats_sss (0..{len(self) - 1})")
        return channel_string([CHANNELS[index // len(CHANNELS) ** k % len(CHANNELS)] for k in reversed(range(NUM_LAYERS))])

    def index(self, arch_id: str) -> int:
        position = 0
        for channels in parse(arch_id):
            position = position * len(CHANNELS) + CHANNELS.index(channels)
        return position

    def arch_id_of(self, architecture: object) -> str:
        """As in `Space`; also of five numbers of channels, in a tuple, list or array."""
        layers = plain(architecture)
        if not isinstance(layers, list):
            return super().arch_id_of(architecture)
        found = whole_numbers(layers)
        if found is None:
            raise ArchitectureError(
                f"{reprlib.repr(layers)}: expected {NUM_LAYERS} numbers of channels, as in (8, 16, 24, 32, 40)"
            )
        return super().arch_id_of(channel_string(found))

    def network(self, arch_id: str, *, input_shape: Sequence[int] = (3, 32, 32), num_classes: int = 10) -> Network:
        layers = parse(arch_id)
        b = NetworkBuilder(input_shape)
        x = b.batch_norm(b.conv(b.input, layers[0], 3, padding=1))
        for number, channels in enumerate(layers):
            # Layers 0, 2 and 4 are cells; the residual blocks between them halve the image.
            x = residual_block(b, x, channels) if number % 2 else _cell(b, x, channels)
        x = b.relu(b.batch_norm(x))
        return b.build(b.linear(b.global_avg_pool(x), num_classes), arch_id=arch_id)

    def neighbours(self, arch_id: str) -> list[str]:
        layers = parse(arch_id)
        return [
            channel_string([*layers[:position], other, *layers[position + 1 :]])
            for position, channels in enumerate(layers)
            for other in CHANNELS
            if other != channels
        ]

    def isomorphism_class(self, arch_id: str) -> str | None:
        return None

    def settings(self) -> Mapping[str, Any]:
        return {"cells_per_stage": 1, "initialisation": "kaiming_uniform"}


SPACES = {NatsSss.name: NatsSss}


def channel_string(layers: Sequence[int]) -> str:
    """The channel string of five numbers."""
    return ":".join(map(str, layers))


def parse(arch_id: str) -> tuple[int, ...]:
    """Read a channel string.

    Raises:
        ArchitectureError: the string is malformed; the message names the part that is wrong and what is expected.
    """
    parts = arch_id.split(":")
    if len(parts) != NUM_LAYERS:
        raise ArchitectureError(
            f"{arch_id!r}: {len(parts)} channel numbers, expected {NUM_LAYERS} joined by ':', as in '8:16:24:32:40'"
        )
    allowed = {str(channels): channels for channels in CHANNELS}
    for part in parts:
        if part not in allowed:
            raise ArchitectureError(f"{arch_id!r}: {part!r} channels, expected one of {', '.join(allowed)}")
    return tuple(allowed[part] for part in parts)


def _cell(b: NetworkBuilder, x: int, channels: int) -> int:
    """`|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|`."""

    def conv(source: int) -> int:
        return relu_conv_bn(b, source, channels, 3)

    node1 = conv(x)
    node2 = b.add(conv(x), conv(node1))
    # The skip between unequal channels is a FactorizedReduce of stride 1, whose ReLU is never called.
    skip = x if b.shape(x)[0] == channels else b.batch_norm(b.conv(x, channels, 1))
    return b.add(skip, conv(node1), conv(node2))
