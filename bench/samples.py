"""The networks that engines are measured on: random ones of twelve spaces and more, the same ones for the same seed.

NAS-Bench-201, NAS-Bench-101 (16 channels) and NATS SSS are drawn from the whole space. NDS has its networks in a file that is
not always at hand, so records in its official form are drawn from the design spaces as Radosavovic et al. (ICCV 2019) define
them, each choice uniform and independent:

- Cell networks: number of operations, of nodes a cell, and what a cell concatenates (`all`, or the nodes that no other node
  reads), as in the paper's table of NAS design spaces; which operations, widths 16, 24, 32 and depths 4, 8, 12, 16, 20 as in
  the code that the authors published the trainings from (pycls). A cell's choices number (ops^nodes * (nodes + 1)!)^2: the
  table's totals, in thousands of millions.
- AnyNets, three stages of strides 1, 2, 2: the ranges of the paper's table of standard design spaces (depth, width, bottleneck
  ratio, groups), spaced evenly in logarithms; where that does not give whole numbers their rounding is this file's.

Networks of more than 6 million parameters or 600 million multiply-accumulates are drawn again: bounds of this file, of the
order of what was trained there.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from typing import Any, Final

from naswot_ray.network import Network
from naswot_ray.philox import sample_without_replacement
from naswot_ray.spaces import get_space
from naswot_ray.spaces.nds import build_network
from naswot_ray.spaces.nds_families import FAMILIES, Family
from naswot_ray.spaces.nds_file import arch_id_of

MAX_PARAMS: Final = 6_000_000
MAX_FLOPS: Final = 600_000_000
"""Multiply-accumulates for one image."""

WIDTHS: Final = (16, 24, 32)
DEPTHS: Final = (4, 8, 12, 16, 20)


@dataclass(frozen=True)
class Sample:
    """One network to measure. `build` makes its graph anew, so that an engine's time can hold that too."""

    arch_id: str
    build: Callable[[], Network]


@dataclass(frozen=True)
class CellDesign:
    """A design space of cells; `loose_ends`: a cell concatenates only the nodes that no other node reads."""

    operations: Sequence[str]
    num_nodes: int
    loose_ends: bool


@dataclass(frozen=True)
class AnyNetDesign:
    """A design space of AnyNets: what each stage chooses from. Ratios and groups are empty without a bottleneck."""

    block_type: str
    depths: Sequence[int]
    widths: Sequence[int]
    ratios: Sequence[int] = ()
    groups: Sequence[int] = ()


_SEPARABLE = ("sep_conv_3x3", "sep_conv_5x5")
_SEPARABLE_7 = (*_SEPARABLE, "sep_conv_7x7")
_POOLS = ("avg_pool_3x3", "max_pool_3x3")
_NASNET_ONLY = ("conv_1x1", "conv_3x3", "conv_3x1_1x3", "max_pool_5x5", "max_pool_7x7")
_STANDARD = ((1, 2, 3, 4, 6, 8, 12, 16, 24), (16, 20, 28, 36, 44, 56, 72, 92, 120, 156, 200, 256))

DESIGNS: Final[Mapping[str, CellDesign | AnyNetDesign]] = {
    "Amoeba": CellDesign(("skip_connect", *_SEPARABLE_7, *_POOLS, "dil_sep_conv_3x3", "conv_7x1_1x7"), 5, True),
    "DARTS": CellDesign(("none", "skip_connect", *_SEPARABLE, "dil_conv_3x3", "dil_conv_5x5", *_POOLS), 4, False),
    "ENAS": CellDesign(("skip_connect", *_SEPARABLE, *_POOLS), 5, True),
    "NASNet": CellDesign(("skip_connect", *_SEPARABLE_7, *_POOLS, "dil_conv_3x3", "conv_7x1_1x7", *_NASNET_ONLY), 5, True),
    "PNAS": CellDesign(("skip_connect", *_SEPARABLE_7, *_POOLS, "dil_conv_3x3", "conv_7x1_1x7"), 5, False),
    "ResNet": AnyNetDesign("res_basic_block", *_STANDARD),
    "ResNeXt-A": AnyNetDesign("res_bottleneck_block", (1, 2, 4, 8, 16), (16, 32, 64, 128, 256), (1, 2, 4), (1, 2, 4)),
    "ResNeXt-B": AnyNetDesign("res_bottleneck_block", (1, 2, 4, 8, 16), (64, 128, 256, 512, 1024), (1, 2, 4), (1, 2, 4, 8, 16)),
    "Vanilla": AnyNetDesign("vanilla_block", *_STANDARD),
}
"""Design of the families -> what it chooses from. Networks for ImageNet (`DARTS_in`) share
it, behind another stem."""

SPACES: Final = ("nasbench201", "nasbench101", "nats_sss", *(FAMILIES[design].space for design in DESIGNS))
"""Those that are measured unless others are asked for."""

_FAMILY_OF: Final = {family.space: family for family in FAMILIES.values() if family.design in DESIGNS and not family.variant}


def samples(space: str, num: int, *, seed: int = 0, image_size: int = 32) -> list[Sample]:
    """The first `num` networks that a seed draws; more of them begin with the same ones.

    Args:
        space: one of `SPACES`, or the ImageNet family of one (`nds_darts_in`).
        num: fewer are returned where the space has fewer.
        seed: any number.
        image_size: height and width of the images that the networks are built for.
    """
    input_shape = (3, image_size, image_size)
    family = _FAMILY_OF.get(space)
    if family is not None:
        return list(islice(_drawn(family, seed, input_shape), num))
    whole = get_space(space)
    chosen = sample_without_replacement(("bench", space, seed), len(whole), min(num, len(whole)))
    arch_ids = [whole[int(i)] for i in chosen]
    return [Sample(arch_id, partial(whole.network, arch_id, input_shape=input_shape)) for arch_id in arch_ids]


def _drawn(family: Family, seed: int, input_shape: Sequence[int]) -> Iterator[Sample]:
    chance = random.Random(f"bench {family.stem} {seed}")
    index = count()
    while True:
        net = draw_net(DESIGNS[family.design], chance)
        arch_id = arch_id_of(next(index), net)
        build = partial(build_network, family.stem, net, arch_id=arch_id, input_shape=input_shape, num_classes=10)
        network = build()
        if network.params <= MAX_PARAMS and network.flops <= MAX_FLOPS:
            yield Sample(arch_id, build)


def draw_net(design: CellDesign | AnyNetDesign, chance: random.Random) -> dict[str, Any]:
    """The `net` of a record in the official form."""
    if isinstance(design, AnyNetDesign):
        return _draw_anynet(design, chance)
    genotype: dict[str, Any] = {}
    for kind in ("normal", "reduce"):
        edges = [
            [chance.choice(design.operations), chance.randrange(2 + node)] for node in range(design.num_nodes) for _ in "ab"
        ]
        nodes = range(2, 2 + design.num_nodes)
        read = {source for _, source in edges} if design.loose_ends else set()
        genotype |= {kind: edges, f"{kind}_concat": [node for node in nodes if node not in read]}
    return {
        "genotype": genotype,
        "width": chance.choice(WIDTHS),
        "depth": chance.choice(DEPTHS),
        "aux": False,
        "drop_prob": 0.0,
    }


def _draw_anynet(design: AnyNetDesign, chance: random.Random) -> dict[str, Any]:
    def each(values: Sequence[int]) -> list[int]:
        return [chance.choice(values) for _ in range(3)] if values else []

    return {
        "block_type": design.block_type,
        "ds": each(design.depths),
        "ws": each(design.widths),
        "ss": [1, 2, 2],
        "bot_muls": [1 / ratio for ratio in each(design.ratios)],
        "num_gs": each(design.groups),
    }
