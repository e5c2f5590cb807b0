"""What an engine has to compute of a network, derived from its graph.

The plan rests on three facts about the graph. The parity vectors check them against the hooks of the published code.

- **Liveness.** A ReLU counts if and only if the logits depend on its output in the graph. A multiplication by zero keeps the
  graph connected, so ReLUs upstream of a `Zero` count.
- **Zeros.** A tensor that is zero for every image gives every image the same code. Its ReLUs add a constant to K, the number of
  their units, and nothing has to be computed. Zeros pass through every operation without a bias.
- **Sharing.** Operations without weights give the same tensor whenever their inputs are the same. ReLUs that read the same
  tensor share one Gram matrix, which is multiplied by the sum of their multiplicities.

Tensors that no live ReLU depends on (the classifier, dead branches) are not computed at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

from naswot_ray.network import ops


class NodeLike(Protocol):
    """What the plan needs to know about a node (`graph.Node`)."""

    @property
    def op(self) -> ops.Op: ...
    @property
    def inputs(self) -> tuple[int, ...]: ...
    @property
    def shape(self) -> ops.Shape: ...


@dataclass(frozen=True, slots=True)
class Codes:
    """One distinct tensor that live ReLUs read.

    Attributes:
        node: the node whose result the tensor is; None if it is zero for every image.
        num_units: the number of its elements per image.
        num_relus: how many live ReLUs read it.
        multiplicity: the sum of the published multiplicities of these ReLUs.
    """

    node: int | None
    num_units: int
    num_relus: int
    multiplicity: int


@dataclass(frozen=True, slots=True)
class Step:
    """One operation to execute. `last_used` lists the tensors (inputs, or the result itself) that no later step reads."""

    node: int
    op: ops.Op
    inputs: tuple[int, ...]
    shape: ops.Shape
    last_used: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in order of execution, and the codes to take from their results."""

    steps: tuple[Step, ...]
    codes: tuple[Codes, ...]


def make_plan(nodes: Sequence[NodeLike], output: int) -> Plan:
    """Derive the plan of a graph. Its logits are the result of the node `output`."""
    canonical, zero = _canonical(nodes)
    codes = _codes(nodes, _ancestors(nodes, [output]), canonical, zero)
    steps = _steps(nodes, canonical, zero, [c.node for c in codes if c.node is not None])
    return Plan(steps, codes)


def _ancestors(nodes: Sequence[NodeLike], roots: Iterable[int]) -> set[int]:
    """The roots and everything they depend on."""
    seen = set(roots)
    stack = list(seen)
    while stack:
        for i in nodes[stack.pop()].inputs:
            if i not in seen:
                seen.add(i)
                stack.append(i)
    return seen


def _canonical(nodes: Sequence[NodeLike]) -> tuple[list[int], list[bool]]:
    """For each node, the first node with the same value, and whether that value is zero for every image."""
    canonical: list[int] = []
    zero: list[bool] = []
    known: dict[tuple[object, tuple[int, ...]], int] = {}
    for position, node in enumerate(nodes):
        op = node.op
        inputs = tuple([canonical[i] for i in node.inputs])
        kind = type(op)
        is_zero = kind is ops.Zero or (inputs != () and ops.keeps_zero(op) and all(zero[i] for i in inputs))
        if kind is ops.Add and not is_zero:
            inputs = tuple([i for i in inputs if not zero[i]])
        zero.append(is_zero)
        if kind is ops.Conv or kind is ops.Linear:  # has weights of its own, so its value is shared with no other
            canonical.append(position)
        elif kind is ops.Add and len(inputs) == 1:
            canonical.append(inputs[0])
        else:
            function = ops.Relu if kind is ops.Relu else op  # ReLUs of any multiplicity give the same tensor
            canonical.append(known.setdefault((function, inputs), position))
    return canonical, zero


def _codes(nodes: Sequence[NodeLike], live: set[int], canonical: list[int], zero: list[bool]) -> tuple[Codes, ...]:
    found: dict[tuple[int | None, int], list[int]] = {}
    for position in sorted(live):
        op = nodes[position].op
        if isinstance(op, ops.Relu):
            source = nodes[position].inputs[0]
            key = (None if zero[source] else canonical[source], prod(nodes[position].shape))
            found.setdefault(key, []).append(op.multiplicity)
    return tuple(Codes(node, units, len(m), sum(m)) for (node, units), m in found.items())


def _steps(nodes: Sequence[NodeLike], canonical: list[int], zero: list[bool], wanted: Iterable[int]) -> tuple[Step, ...]:
    inputs_of: dict[int, tuple[int, ...]] = {}
    needed = set(wanted)
    for position in range(len(nodes) - 1, -1, -1):
        if position in needed:
            if zero[position]:
                inputs: tuple[int, ...] = ()  # materialised as zeros
            else:
                inputs = tuple([canonical[i] for i in nodes[position].inputs])
                if type(nodes[position].op) is ops.Add:
                    inputs = tuple([i for i in inputs if not zero[i]])
            inputs_of[position] = inputs
            needed.update(inputs)
    order = sorted(needed)
    last_reader: dict[int, int] = {}
    for position in order:
        last_reader[position] = position
        for i in inputs_of[position]:
            last_reader[i] = position
    released: dict[int, list[int]] = {}
    for position, reader in last_reader.items():
        released.setdefault(reader, []).append(position)
    return tuple(
        [
            Step(p, ops.Zero() if zero[p] else nodes[p].op, inputs_of[p], nodes[p].shape, tuple(released.get(p, ())))
            for p in order
        ]
    )
