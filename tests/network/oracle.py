"""A naive network: it runs every node with torch, keeps autograd on, and asks autograd on which ReLUs the logits depend.

It shares only the graph with the package: no plan, no liveness, no shared Gram matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from naswot_ray.measures.kernel import IntMatrix
from naswot_ray.network import Network, ops

Weights = Callable[[ops.Weighted], torch.Tensor]


@dataclass(frozen=True)
class Measured:
    """What running a network reveals about it.

    Attributes:
        values: the result of every node.
        live_relus: positions of the ReLUs that a backward pass from the logits reaches.
        published, paper: the kernels.
    """

    values: list[torch.Tensor]
    live_relus: list[int]
    published: IntMatrix
    paper: IntMatrix


def measure(network: Network, images: torch.Tensor, weights: Weights) -> Measured:
    """Run every node of a network in order, and compute its kernels by the formula."""
    images = images.clone().requires_grad_()
    values: list[torch.Tensor] = []
    for node in network.nodes:
        values.append(execute(node.op, [values[i] for i in node.inputs], images, weights))
    relus = [i for i, node in enumerate(network.nodes) if isinstance(node.op, ops.Relu)]
    live = _reached(values[network.output], relus, values)
    n = len(images)
    published, paper = np.zeros((n, n), np.int64), np.zeros((n, n), np.int64)
    for position in live:
        op = network.nodes[position].op
        assert isinstance(op, ops.Relu)
        K_nn = naive_kernel(values[network.nodes[position].inputs[0]])
        published += op.multiplicity * K_nn
        paper += K_nn
    return Measured(values, live, published, paper)


def _reached(logits: torch.Tensor, relus: list[int], values: list[torch.Tensor]) -> list[int]:
    if not relus:
        return []
    grads = torch.autograd.grad(logits.sum(), [values[i] for i in relus], allow_unused=True)
    return [i for i, grad in zip(relus, grads, strict=True) if grad is not None]


def naive_kernel(x: torch.Tensor) -> IntMatrix:
    """Compute `X X^T + (1-X)(1-X)^T` with X = (x > 0), in integers."""
    X = (x.detach().flatten(1) > 0).numpy().astype(np.int64)
    K_nn: IntMatrix = X @ X.T + (1 - X) @ (1 - X).T
    return K_nn


def execute(op: ops.Op, inputs: list[torch.Tensor], images: torch.Tensor, weights: Weights) -> torch.Tensor:
    """Run one operation as a newcomer would write it, not in place."""
    match op:
        case ops.Input():
            return images
        case ops.Conv():
            weight = weights(op)
            return F.conv2d(inputs[0], weight, stride=op.stride, padding=op.padding, dilation=op.dilation, groups=op.groups)
        case ops.Linear():
            return F.linear(inputs[0], weights(op), torch.zeros(op.out_features))
        case ops.BatchNorm():
            features = inputs[0].shape[1]
            weight, bias = torch.ones(features), torch.zeros(features)
            return F.batch_norm(inputs[0], None, None, weight, bias, training=True, eps=1e-5)
        case ops.Relu():
            return torch.relu(inputs[0])
        case ops.AvgPool():
            return F.avg_pool2d(inputs[0], op.kernel, op.stride, op.padding, ceil_mode=False, count_include_pad=False)
        case ops.MaxPool():
            return F.max_pool2d(inputs[0], op.kernel, op.stride, op.padding)
        case ops.GlobalAvgPool():
            return F.adaptive_avg_pool2d(inputs[0], 1).flatten(1)
        case ops.Add():
            return sum(inputs[1:], start=inputs[0])
        case ops.Concat():
            return torch.cat(inputs, dim=1)
        case ops.Truncate():
            return inputs[0][:, : op.channels]
        case ops.Shift():
            shifted = torch.zeros_like(inputs[0])
            shifted[:, :, :-1, :-1] = inputs[0][:, :, 1:, 1:]
            return shifted
        case ops.Zero():
            return inputs[0][:, :, :: op.stride, :: op.stride].mul(0.0)
