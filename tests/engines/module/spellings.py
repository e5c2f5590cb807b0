"""Every way to write a ReLU, and other activations, as functions of a tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import nn

Spelling = Callable[[torch.Tensor], torch.Tensor]


class ByHand(torch.autograd.Function):
    """The ReLU of torch's tutorial on custom autograd functions."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return gradient * (x > 0)


def _into_a_slice(x: torch.Tensor) -> torch.Tensor:
    """In place on a view of a copy; the result is read through the copy."""
    y = x.clone()
    F.relu_(y[:, :])
    return y


def _by_index(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[y < 0] = 0
    return y


RELUS: Final[dict[str, Spelling]] = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "nn.ReLU made in forward": lambda x: nn.ReLU()(x),
    "nn.ReLU().forward": lambda x: nn.ReLU().forward(x),
    "F.relu": F.relu,
    "F.relu_": lambda x: F.relu_(x.clone()),
    "torch.relu": torch.relu,
    "torch.relu_": lambda x: torch.relu_(x.clone()),
    "x.relu()": lambda x: x.relu(),
    "x.clamp(min=0)": lambda x: x.clamp(min=0),
    "x.clamp(0)": lambda x: x.clamp(0),
    "x.clamp_min(0)": lambda x: x.clamp_min(0),
    "x.clamp_(min=0)": lambda x: x.clone().clamp_(min=0),
    "x.clip(0)": lambda x: x.clip(0),
    "torch.clamp with a tensor": lambda x: torch.clamp(x, torch.zeros(())),
    "torch.maximum": lambda x: torch.maximum(x, torch.zeros(())),
    "torch.maximum, the zeros first": lambda x: torch.maximum(torch.zeros_like(x), x),
    "torch.max of two": lambda x: torch.max(x, torch.zeros_like(x)),
    "torch.fmax": lambda x: torch.fmax(x, torch.zeros(())),
    "F.threshold": lambda x: F.threshold(x, 0.0, 0.0),
    "nn.Threshold": nn.Threshold(0.0, 0.0),
    "F.hardtanh from 0": lambda x: F.hardtanh(x, 0.0, 1e9),
    "F.relu6 of small numbers": lambda x: F.relu6(x),
    "torch.where": lambda x: torch.where(x > 0, x, 0.0),
    "torch.where, the other way round": lambda x: torch.where(x < 0, 0.0, x),
    "a product with x > 0": lambda x: x * (x > 0),
    "a product with numbers": lambda x: (x > 0).to(x.dtype) * x,
    "a product with detached numbers": lambda x: x * (x >= 0).float().detach(),
    "torch.where, negated": lambda x: torch.where(~(x > 0), 0.0, x),
    "x.masked_fill, negated": lambda x: x.masked_fill(torch.logical_not(x > 0), 0.0),
    "x.masked_fill": lambda x: x.masked_fill(x <= 0, 0.0),
    "x[x < 0] = 0": _by_index,
    "in place on a view": _into_a_slice,
    "a custom autograd function": ByHand.apply,
    "F.leaky_relu": lambda x: F.leaky_relu(x, 0.0),
    "F.prelu": lambda x: F.prelu(x, torch.zeros(1)),
    "F.rrelu": lambda x: F.rrelu(x, 0.0, 0.0, training=True),
}
"""Of an input with values below 6, all give the same."""

SMOOTH: Final[dict[str, Spelling]] = {
    "gelu": F.gelu,
    "gelu, tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "silu in place": lambda x: F.silu(x.clone(), inplace=True),
    "hardswish": F.hardswish,
    "mish": F.mish,
    "elu": F.elu,
    "selu": F.selu,
    "celu": F.celu,
    "a leaky one by hand": lambda x: torch.where(x > 0, x, 0.1 * x),
}

OTHERS: Final[dict[str, Spelling]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "hardsigmoid": F.hardsigmoid,
    "logsigmoid": F.logsigmoid,
    "hardtanh": F.hardtanh,
    "clamped elsewhere": lambda x: F.threshold(x, 0.5, 0.0),
}
