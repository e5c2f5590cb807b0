"""From a network's graph to what an engine has to compute.

Three facts, all static (checked against the published code's hooks by the parity vectors):

- **Liveness.** A ReLU counts iff the logits depend on its output in the graph. Multiplying by zero keeps the graph connected,
  so ReLUs upstream of a `Zero` count.
- **Zeros.** A tensor that is zero for every image gives every image the same code; its ReLUs add the constant N_A to K and
  nothing has to be computed. Zeros spread through every operation without a bias.
- **Sharing.** Operations without weights of their own, applied to the same tensors, give the same tensor; ReLUs that read the
  same tensor share one Gram matrix, taken times the sum of their multiplicities.

What no counted ReLU reads (the classifier, dead branches) is not computed at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

from naswot_ray.network import ops


class NodeLike(Protocol):
    """What the plan needs to know of a node (`graph.Node`)."""

    @property
    def op(self) -> ops.Op: ...
    @property
    def inputs(self) -> tuple[int, ...]: ...
    @property
    def shape(self) -> ops.Shape: ...


@dataclass(frozen=True, slots=True)
class Codes:
    """One distinct tensor that counted ReLUs read.

    Attributes:
        node: the tensor, as the position of a step's result; None where it is zero for every image.
        num_units: its elements per image.
        num_relus: how many live ReLUs read it.
        multiplicity: the sum of their published multiplicities.
    """

    node: int | None
    num_units: int
    num_relus: int
    multiplicity: int


@dataclass(frozen=True, slots=True)
class Step:
    """One operation to execute. `last_used`: inputs, or the result itself, that no later step reads."""

    node: int
    op: ops.Op
    inputs: tuple[int, ...]
    shape: ops.Shape
    last_used: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order of execution, and the codes to take from their results."""

    steps: tuple[Step, ...]
    codes: tuple[Codes, ...]


def make_plan(nodes: Sequence[NodeLike], output: int) -> Plan:
    """Derive the plan of a graph whose logits are the node `output`."""
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
    """For each node the first node with the same value, and whether it is zero for every image."""
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
        if kind is ops.Conv or kind is ops.Linear:  # with weights of its own
            canonical.append(position)
        elif kind is ops.Add and len(inputs) == 1:
            canonical.append(inputs[0])
        else:
            function = ops.Relu if kind is ops.Relu else op  # whatever its multiplicity
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
