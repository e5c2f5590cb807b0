"""NAS-Bench-201, which is also the topology space of NATS-Bench (TSS).

Sources: Dong and Yang, "NAS-Bench-201" (ICLR 2020), sections 2.1-2.2; Dong et al., "NATS-Bench" (TPAMI 2021). Arch strings are
those of the benchmarks' files: `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, with one group per node, where `op~k` is an edge from
node k.

A string that lists the edges of a node in another order describes the same cell. Whatever looks an architecture up takes it for
the benchmark's own string. Only `network` builds it as it is written: the order numbers the layers, and the numbers key their
weights.
"""

from __future__ import annotations

import itertools
import random
import re
import reprlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from naswot_ray.citation import Citation
from naswot_ray.errors import ArchitectureError
from naswot_ray.network import Network, NetworkBuilder
from naswot_ray.spaces.base import Space
from naswot_ray.spaces.blocks import relu_conv_bn, residual_block
from naswot_ray.spaces.facts import Facts
from naswot_ray.spaces.notations import plain, whole_numbers

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NUM_NODES = 4
NASLIB_OPS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
"""The operations by their numbers in NASLib (`OP_NAMES_NB201` in naslib/search_spaces/nasbench201/conversions.py)."""
NASLIB_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"""The edges (from, to) in the order of NASLib (`EDGE_LIST` in the same file, which counts nodes from 1)."""
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
    notations = (
        "an arch string such as '|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|', the index of the "
        "benchmark, or the six operation numbers of NASLib"
    )
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
        """As in `Space`; the edges of a node can be in any order."""
        index = _positions().get(arch_id)
        if index is None:
            index = _positions().get(in_order(arch_id))
        if index is None:
            raise ArchitectureError(
                f"{arch_id!r} is not one of the 15,625 cells of nasbench201: node n takes one edge from each of the "
                "nodes 0..n-1 (`space.network` builds it all the same)"
            )
        return index

    def arch_id_of(self, architecture: object) -> str:
        """As in `Space`; also of the six operation numbers of NASLib (`op_indices`), in a tuple, list or array."""
        numbers = plain(architecture)
        if not isinstance(numbers, list):
            return super().arch_id_of(architecture)
        if len(numbers) == len(NASLIB_EDGES) and all(isinstance(op, str) for op in numbers):
            raise ArchitectureError(
                f"{reprlib.repr(numbers)}: six names do not say which edge each is of, because arch strings and NASLib order "
                "the edges differently; write an arch string"
            )
        found = whole_numbers(numbers)
        if found is None or len(found) != len(NASLIB_EDGES) or not all(0 <= op < len(NASLIB_OPS) for op in found):
            numbered = ", ".join(f"{number} {op}" for number, op in enumerate(NASLIB_OPS))
            raise ArchitectureError(f"{reprlib.repr(numbers)}: expected six operation numbers of NASLib, which are {numbered}")
        ops = {edge: NASLIB_OPS[op] for edge, op in zip(NASLIB_EDGES, found, strict=True)}
        return arch_string([ops[source, node] for node in range(1, NUM_NODES) for source in range(node)])

    def network(self, arch_id: str, *, input_shape: Sequence[int] = (3, 32, 32), num_classes: int = 10) -> Network:
        """As in `Space`. The string is built as it is written, as the published code does.

        It can describe a cell outside the space. If it lists the edges of a node in another order, it keeps its own layers,
        weights and score: for those of the cell in a dataset, build `network(arch_id_of(string))`.
        """
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
        operations = [op for node in parse(self[self.index(arch_id)]) for op, _ in node]
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


def in_order(arch_id: str) -> str:
    """The arch string with the edges of each node in the order of the nodes that they come from, as the benchmark writes it.

    If a node reads another twice, the cell is not in the space, and the string is returned as it is.

    Raises:
        ArchitectureError: the string is malformed.
    """
    cell = [sorted(node, key=lambda edge: edge[1]) for node in parse(arch_id)]
    if any([source for _, source in node] != list(range(len(node))) for node in cell):
        return arch_id
    return arch_string([op for node in cell for op, _ in node])


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
