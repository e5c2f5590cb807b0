"""NAS-Bench-201, which is also the topology space of NATS-Bench (TSS).

Sources: Dong and Yang, "NAS-Bench-201" (ICLR 2020), sections 2.1-2.2; Dong et al., "NATS-Bench" (TPAMI 2021). Arch strings are
those of the benchmarks' files: `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, with one group per node, where `op~k` is an edge from
node k.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from naswot_ray.citation import Citation
from naswot_ray.errors import ArchitectureError
from naswot_ray.network import Network, NetworkBuilder
from naswot_ray.spaces.base import Space
from naswot_ray.spaces.blocks import relu_conv_bn, residual_block
from naswot_ray.spaces.facts import Facts

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NUM_NODES = 4
CHANNELS = (16, 32, 64)
CELLS_PER_STAGE = 5

Edge = tuple[str, int]
Cell = tuple[tuple[Edge, ...], ...]
"""For each of the nodes 1, 2 and 3, its incoming edges in the order of the string: (op, input node)."""


class NasBench201(Space):
    """All 15,625 cells: one of five operations on each of the six edges of a DAG of four nodes.

    The order is the official one, that of the index of NAS-Bench-201 and NATS-Bench TSS. The authors' generator lists the
    cells in lexicographic order of the operations and shuffles them by Python's Mersenne Twister with seed 88. The order is
    therefore random, and the first K cells are a random sample.
    """

    name = "nasbench201"
    facts = Facts(
        title="NAS-Bench-201",
        citation=Citation(
            key="dong2020nasbench201",
            title="{NAS-Bench-201}: Extending the Scope of Reproducible Neural Architecture Search",
            authors=("Dong, Xuanyi", "Yang, Yi"),
            venue="International Conference on Learning Representations",
            year=2020,
        ),
        source="https://github.com/D-X-Y/NAS-Bench-201",
        terms="its repository's, MIT",
        arch_id_pattern=re.compile(r"\|[^|]+~\d\|\+\|.*\|"),
        num_singular=201,
    )

    def __len__(self) -> int:
        return int(len(OPS) ** (NUM_NODES * (NUM_NODES - 1) // 2))

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside of nasbench201 (0..{len(self) - 1})")
        return _list_arch_ids()[index]

    def index(self, arch_id: str) -> int:
        try:
            return _positions()[arch_id]
        except KeyError:
            parse(arch_id)  # raises a more exact message if the string is malformed
            raise ArchitectureError(
                f"{arch_id!r} is not one of the 15,625 cells of nasbench201: node n takes one edge from each of the "
                "nodes 0..n-1, in that order"
            ) from None

    def network(self, arch_id: str, *, input_shape: Sequence[int] = (3, 32, 32), num_classes: int = 10) -> Network:
        cell = parse(arch_id)
        b = NetworkBuilder(input_shape)
        x = b.batch_norm(b.conv(b.input, CHANNELS[0], 3, padding=1))
        for stage, channels in enumerate(CHANNELS):
            if stage > 0:
                x = residual_block(b, x, channels)
            for _ in range(CELLS_PER_STAGE):
                x = _cell(b, x, cell, channels)
        x = b.relu(b.batch_norm(x))
        return b.build(b.linear(b.global_avg_pool(x), num_classes), arch_id=arch_id)

    def neighbours(self, arch_id: str) -> list[str]:
        self.index(arch_id)
        operations = [op for node in parse(arch_id) for op, _ in node]
        return [
            arch_string([*operations[:edge], other, *operations[edge + 1 :]])
            for edge, op in enumerate(operations)
            for other in OPS
            if other != op
        ]

    def isomorphism_class(self, arch_id: str) -> str:
        """The benchmark's own unique string; the 15,625 cells have 6,466 different ones (NAS-Bench-201, section 2.1).

        It writes the cell as an expression in its input `0`. Skips are dropped, sums are sorted, and `none` becomes `#`, as
        does every operation on `#`. Sums keep their zero terms, so the classes are slightly finer than equal functions.
        """
        nodes = ["0"]
        for edges in parse(arch_id):
            terms = []
            for op, source in edges:
                value = nodes[source]
                if op == "none" or value == "#":
                    terms.append("#")
                else:
                    terms.append(value if op == "skip_connect" else f"({value})@{op}")
            nodes.append("+".join(sorted(terms)))
        return nodes[-1]

    def settings(self) -> Mapping[str, Any]:
        return {"channels": list(CHANNELS), "cells_per_stage": CELLS_PER_STAGE, "initialisation": "kaiming_uniform"}


SPACES = {NasBench201.name: NasBench201}


# Cached in the process rather than in the space, because a worker is sent the space with every task.
@cache
def _list_arch_ids() -> list[str]:
    arch_ids = [arch_string(operations) for operations in itertools.product(OPS, repeat=6)]
    random.Random(88).shuffle(arch_ids)
    return arch_ids


@cache
def _positions() -> dict[str, int]:
    return {arch_id: i for i, arch_id in enumerate(_list_arch_ids())}


def arch_string(operations: Sequence[str]) -> str:
    """The arch string of six operations, given in the order of the edges (0,1), (0,2), (1,2), (0,3), (1,3), (2,3)."""
    remaining = iter(operations)
    return "+".join(f"|{'|'.join(f'{next(remaining)}~{k}' for k in range(node))}|" for node in range(1, NUM_NODES))


def parse(arch_id: str) -> Cell:
    """Read an arch string. Edges are taken literally: a node may read the same node twice, and a node may be read by none.

    Raises:
        ArchitectureError: the string is malformed; the message names the part that is wrong and what is expected.
    """
    groups = arch_id.split("+")
    if len(groups) != NUM_NODES - 1:
        raise ArchitectureError(
            f"{arch_id!r}: {len(groups)} node groups, expected {NUM_NODES - 1} joined by '+', "
            f"as in {arch_string([OPS[1]] * 6)!r}"
        )
    cell = []
    for node, group in enumerate(groups, start=1):
        if len(group) < 2 or group[0] != "|" or group[-1] != "|":
            raise ArchitectureError(f"{arch_id!r}: group {group!r} of node {node} must begin and end with '|'")
        edges = group[1:-1].split("|")
        if len(edges) != node:
            raise ArchitectureError(f"{arch_id!r}: node {node} has {len(edges)} edges, expected {node}")
        cell.append(tuple(_parse_edge(arch_id, edge, node) for edge in edges))
    return tuple(cell)


def _parse_edge(arch_id: str, edge: str, node: int) -> Edge:
    op, tilde, source = edge.partition("~")
    if not tilde:
        raise ArchitectureError(f"{arch_id!r}: edge {edge!r} of node {node} has no '~', expected 'op~input'")
    if op not in OPS:
        raise ArchitectureError(f"{arch_id!r}: unknown operation {op!r} in edge {edge!r}, expected one of {', '.join(OPS)}")
    if not (source.isascii() and source.isdigit() and source == str(int(source)) and int(source) < node):
        raise ArchitectureError(f"{arch_id!r}: edge {edge!r} of node {node} must come from one of the nodes 0..{node - 1}")
    return op, int(source)


def _cell(b: NetworkBuilder, x: int, cell: Cell, channels: int) -> int:
    nodes = [x]
    for edges in cell:
        nodes.append(b.add(*(_operation(b, nodes[source], op, channels) for op, source in edges)))
    return nodes[-1]


def _operation(b: NetworkBuilder, x: int, op: str, channels: int) -> int:
    match op:
        case "none":
            return b.zero(x)
        case "skip_connect":
            return x
        case "avg_pool_3x3":
            return b.avg_pool(x, 3, padding=1)
        case _:
            return relu_conv_bn(b, x, channels, 3 if op == "nor_conv_3x3" else 1)
