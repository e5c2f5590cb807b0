"""`Network`: one architecture as a graph of plain operations, and what can be derived from the graph without running it.

A network keeps every operation that the published code would execute, in the same order. Parameters and FLOPs are sums over
these operations. The graph alone decides which ReLUs count (`naswot_ray.network.plan`), so no backward pass is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from naswot_ray.network import ops
from naswot_ray.network.plan import Plan, make_plan
from naswot_ray.network.program import Program, make_program

Initialisation = Literal["kaiming_uniform", "normal_fan_out"]
"""How the published code of a space initialises weights.

`kaiming_uniform`: PyTorch's default for Conv2d and Linear, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), biases included.
`normal_fan_out`: N(0, 2 / (kernel height * kernel width * out_channels)) for Conv2d, for any number of groups.
"""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: its inputs by position in `Network.nodes`, and the shape of its result for one image."""

    op: ops.Op
    inputs: tuple[int, ...]
    shape: ops.Shape


@dataclass(frozen=True)
class Network:
    """An architecture as a graph. A space builds it with `NetworkBuilder`; it never changes afterwards.

    Attributes:
        arch_id: the key of the architecture in its space; it also keys the random weights.
        nodes: all operations in order of execution; the inputs of a node come before it.
        output: position of the node that gives the logits.
        initialisation: the distribution of the weights.
    """

    arch_id: str
    nodes: tuple[Node, ...]
    output: int
    initialisation: Initialisation = "kaiming_uniform"

    @property
    def input_shape(self) -> ops.Shape:
        """Shape of one image, `(channels, height, width)`."""
        return self.nodes[0].shape

    @cached_property
    def layers(self) -> tuple[ops.Weighted, ...]:
        """The convolutions and linear layers; `layers[k].layer == k`."""
        return tuple(node.op for node in self.nodes if isinstance(node.op, ops.Weighted))

    @cached_property
    def params(self) -> int:
        """Trainable parameters, including those of dead branches, as the benchmarks count them."""
        return sum(ops.params(node.op, node.shape) for node in self.nodes)

    @cached_property
    def flops(self) -> int:
        """FLOPs per image, including those of dead branches, as the benchmarks count them (see `ops`)."""
        return sum(ops.flops(node.op, node.shape) for node in self.nodes)

    @cached_property
    def num_layers(self) -> int:
        """Number of convolutions and linear layers, including those of dead branches."""
        return len(self.layers)

    @cached_property
    def num_relus(self) -> int:
        """Number of live ReLU layers, each counted once."""
        return sum(unit.num_relus for unit in self.plan.codes)

    @cached_property
    def num_units(self) -> int:
        """N_A: number of live ReLU units, counted with the multiplicities of the published code."""
        return sum(unit.multiplicity * unit.num_units for unit in self.plan.codes)

    @cached_property
    def num_units_paper(self) -> int:
        """N_A in the paper's formula: number of live ReLU units, each counted once."""
        return sum(unit.num_relus * unit.num_units for unit in self.plan.codes)

    @cached_property
    def plan(self) -> Plan:
        """The steps that an engine has to compute, and the codes to take from them."""
        return make_plan(self.nodes, self.output)

    @cached_property
    def program(self) -> Program:
        """The plan, compiled into few passes over memory.

        Raises:
            ValueError: no program can compute the plan; see `make_program`.
        """
        return make_program(self.plan)


class NetworkBuilder:
    """Builds a `Network` one operation at a time, in the order in which the published code executes them.

    Methods take and return positions of nodes. The call that causes a wrong shape raises `ValueError`.
    """

    def __init__(self, input_shape: Sequence[int]) -> None:
        self._nodes: list[Node] = []
        self._num_layers = 0
        self.input = self._append(ops.Input(tuple(input_shape)))

    def shape(self, x: int) -> ops.Shape:
        """The shape of a node's result for one image."""
        return self._nodes[x].shape

    def conv(
        self,
        x: int,
        out_channels: int,
        kernel: int | ops.Pair,
        *,
        stride: int | ops.Pair = 1,
        padding: int | ops.Pair = 0,
        dilation: int = 1,
        groups: int = 1,
    ) -> int:
        """Append a convolution without bias; it gets the next layer number. One number in place of a pair stands for both."""
        in_channels = self.shape(x)[0]
        op = ops.Conv(
            self._num_layers, in_channels, out_channels, _pair(kernel), _pair(stride), _pair(padding), dilation, groups
        )
        self._num_layers += 1
        return self._append(op, x)

    def linear(self, x: int, out_features: int) -> int:
        """Append a linear layer with bias; it gets the next layer number."""
        op = ops.Linear(self._num_layers, self.shape(x)[0], out_features)
        self._num_layers += 1
        return self._append(op, x)

    def batch_norm(self, x: int) -> int:
        """Append a batch normalisation."""
        return self._append(ops.BatchNorm(), x)

    def relu(self, x: int, *, multiplicity: int = 1) -> int:
        """Append a ReLU that the published code counts `multiplicity` times."""
        return self._append(ops.Relu(multiplicity), x)

    def avg_pool(self, x: int, kernel: int, *, stride: int = 1, padding: int = 0) -> int:
        """Append an average pool. Its averages leave out the padding."""
        return self._append(ops.AvgPool(kernel, stride, padding), x)

    def max_pool(self, x: int, kernel: int, *, stride: int = 1, padding: int = 0) -> int:
        """Append a max pool."""
        return self._append(ops.MaxPool(kernel, stride, padding), x)

    def global_avg_pool(self, x: int) -> int:
        """Append a mean over height and width."""
        return self._append(ops.GlobalAvgPool(), x)

    def add(self, *xs: int) -> int:
        """Append a sum; the inputs are added from left to right."""
        return self._append(ops.Add(), *xs)

    def concat(self, *xs: int) -> int:
        """Append a concatenation along the channels."""
        return self._append(ops.Concat(), *xs)

    def truncate(self, x: int, channels: int) -> int:
        """Append an operation that keeps the first `channels` channels."""
        return self._append(ops.Truncate(channels), x)

    def shift(self, x: int) -> int:
        """Append an operation that moves the image up and to the left by one pixel."""
        return self._append(ops.Shift(), x)

    def zero(self, x: int, *, stride: int = 1) -> int:
        """Append a multiplication by zero."""
        return self._append(ops.Zero(stride), x)

    def build(self, output: int, *, arch_id: str, initialisation: Initialisation = "kaiming_uniform") -> Network:
        """The finished network whose logits are the node `output`."""
        return Network(arch_id, tuple(self._nodes), output, initialisation)

    def _append(self, op: ops.Op, *inputs: int) -> int:
        nodes = self._nodes
        for i in inputs:
            if not 0 <= i < len(nodes):
                raise ValueError(f"{op} reads nodes {inputs}, there are 0..{len(nodes) - 1}")
        nodes.append(Node(op, inputs, ops.output_shape(op, tuple([nodes[i].shape for i in inputs]))))
        return len(nodes) - 1


def _pair(value: int | ops.Pair) -> ops.Pair:
    return (value, value) if isinstance(value, int) else value
