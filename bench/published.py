"""The published NASWOT procedure for any `Network` of this project: the baseline of every speed ratio.

Source: Mellor et al. (ICML 2021), the scoring script of their repository with the score `hook_logdet`, step by step:

1. A tree of `nn.Module`s is constructed, PyTorch's default initialisation running as it does there (and the initialisation of
   pycls after it where the space has one), in train mode, batch norms with running statistics.
2. One forward pass with the images requiring a gradient, and a backward pass from ones at the logits. Backward hooks mark
   which ReLUs were visited.
3. A second forward pass, gradients still on, of a clone of the images. A forward hook on each visited ReLU flattens what the
   ReLU reads and adds `X X^T + (1-X)(1-X)^T`, X = (x > 0) as floats, to K. It runs as often as the published code counts the
   ReLU.
4. `numpy.linalg.slogdet`.

Every operation of the graph is executed, dead ones too, as there. Two things differ: no ReLU works in place, where those of
NAS-Bench-101 and the AnyNets of NDS do, and the images are in memory, where the script loads a batch for each network. Timed in
turns with the published code itself (commit b3a82a6; batch sizes 32 and 128), this took 0.93 to 1.05 of its CPU time on
NAS-Bench-201, 1.00 to 1.07 on three AnyNet families and 0.83 to 0.99 on DARTS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from naswot_ray.engines.weights import WeightSource
from naswot_ray.network import Network, ops
from naswot_ray.network.graph import Node


class PublishedNetwork(nn.Module):
    """A graph as modules, one for each operation.

    Attributes:
        operations: module of the node k + 1 (node 0 is the batch of images).
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        assert isinstance(network.nodes[0].op, ops.Input)
        self.operations = nn.ModuleList(_module(node) for node in network.nodes[1:])
        self._inputs = [node.inputs for node in network.nodes[1:]]
        self._output = network.output
        self._released = _released(network)
        if network.initialisation == "normal_fan_out":
            self.apply(_initialise_as_pycls)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, shape (n, classes)."""
        values = {0: images}
        for node, (operation, inputs) in enumerate(zip(self.operations, self._inputs, strict=True), start=1):
            values[node] = operation(*(values[i] for i in inputs))
            for i in self._released[node]:
                del values[i]
        return values[self._output]

    def load_weights(self, network: Network, weights: WeightSource) -> None:
        """Replace the weights of convolutions and linear layers."""
        for node, operation in zip(network.nodes[1:], self.operations, strict=True):
            if isinstance(node.op, ops.Weighted):
                assert isinstance(operation, nn.Conv2d | nn.Linear)
                operation.weight.data.copy_(weights(node.op))

    def relus(self, network: Network) -> list[tuple[nn.Module, int]]:
        """The ReLUs and how often the published code counts each."""
        return [
            (operation, node.op.multiplicity)
            for node, operation in zip(network.nodes[1:], self.operations, strict=True)
            if isinstance(node.op, ops.Relu)
        ]


def score(network: Network, images: torch.Tensor) -> float:
    """The published score of a network with weights of its own drawing, construction included."""
    module = PublishedNetwork(network).to(images.device)
    return log_det(compute_kernel(network, module, images))


def compute_kernel(network: Network, module: PublishedNetwork, images: torch.Tensor) -> npt.NDArray[np.float64]:
    """K with the published multiplicities, shape (n, n).

    Args:
        network: the graph that `module` was built from.
        module: in train mode.
        images: normalised, shape (n, *network.input_shape), float32.
    """
    n = len(images)
    kernel = np.zeros((n, n))
    visited: set[nn.Module] = set()

    def mark(relu: nn.Module, grad_input: object, grad_output: object) -> None:
        visited.add(relu)

    def count(relu: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal kernel
        if relu not in visited:
            return
        x = (inputs[0].view(n, -1) > 0).float()
        both = x @ x.t()
        neither = (1.0 - x) @ (1.0 - x.t())
        kernel = kernel + both.cpu().numpy() + neither.cpu().numpy()

    hooks = []
    for relu, multiplicity in module.relus(network):
        hooks += [relu.register_forward_hook(count) for _ in range(multiplicity)]
        hooks += [relu.register_backward_hook(mark) for _ in range(multiplicity)]
    again = images.clone()
    images = images.clone().requires_grad_(True)
    module.zero_grad()
    logits = module(images)
    logits.backward(torch.ones_like(logits))
    module(again)
    for hook in hooks:
        hook.remove()
    return kernel


def log_det(kernel: npt.NDArray[np.float64]) -> float:
    """log|det K|; rounding noise where K is singular, as in the published code."""
    return float(np.linalg.slogdet(kernel)[1])


class _Function(nn.Module):
    """An operation without state."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self._function(*inputs)


def _module(node: Node) -> nn.Module:
    match node.op:
        case ops.Conv() as op:
            sizes = (op.in_channels, op.out_channels, op.kernel, op.stride, op.padding, op.dilation, op.groups)
            return nn.Conv2d(*sizes, bias=False)
        case ops.Linear() as op:
            return nn.Linear(op.in_features, op.out_features)
        case ops.BatchNorm():
            return nn.BatchNorm2d(node.shape[0])
        case ops.Relu():
            return nn.ReLU()
        case ops.AvgPool() as op:
            return nn.AvgPool2d(op.kernel, op.stride, op.padding, count_include_pad=False)
        case ops.MaxPool() as op:
            return nn.MaxPool2d(op.kernel, op.stride, op.padding)
        case ops.GlobalAvgPool():
            return _Function(lambda x: x.mean((2, 3)))
        case ops.Add():
            return _Function(_add)
        case ops.Concat():
            return _Function(lambda *xs: torch.cat(xs, dim=1))
        case ops.Truncate(channels):
            return _Function(lambda x: x[:, :channels])
        case ops.Shift():
            return _Function(lambda x: F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:])
        case ops.Zero(stride):
            return _Function(lambda x: x[:, :, ::stride, ::stride].mul(0.0))
        case ops.Input():
            raise ValueError("a second input")


def _add(first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    total = first
    for other in others:
        total = total + other
    return total


def _released(network: Network) -> Sequence[Sequence[int]]:
    """For each node the values that no later node reads, as a function's locals would go."""
    last_reader = {node: node for node in range(len(network.nodes))}
    for position, node in enumerate(network.nodes):
        last_reader |= dict.fromkeys(node.inputs, position)
    released: list[list[int]] = [[] for _ in network.nodes]
    for node_position, reader in last_reader.items():
        if node_position != network.output:
            released[reader].append(node_position)
    return released


def _initialise_as_pycls(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        height, width = module.kernel_size
        module.weight.data.normal_(mean=0.0, std=(2.0 / (height * width * module.out_channels)) ** 0.5)
    elif isinstance(module, nn.BatchNorm2d):
        module.weight.data.fill_(1.0)
        module.bias.data.zero_()
    elif isinstance(module, nn.Linear):
        module.weight.data.normal_(mean=0.0, std=0.01)
        module.bias.data.zero_()
