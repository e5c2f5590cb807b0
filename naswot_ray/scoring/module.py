"""The score of a network of your own: any `torch.nn.Module` with ReLUs.

The published code's rule, applied to a module: everything whose class has "ReLU" in its qualified name is counted at each
call, blocks such as `ReLUConvBN` as well as the ReLUs inside them; a call counts iff the outputs depend on its result.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from naswot_ray.scoring.engines import Score
from naswot_ray.scoring.kernel import IntMatrix, agreements, log_det
from naswot_ray.scoring.score import Images, as_batch


def score_module(module: nn.Module, images: Images, *, return_kernel: bool = False) -> Score:
    """Score an untrained module of your own on a batch.

    One forward pass in train mode (batch norms use the batch's own statistics); which ReLUs the outputs depend on is read off
    the autograd graph, without a backward pass. The module comes back as it was: mode, buffers and gradients unchanged.

    `score` follows the published code's rule (see the module's head), `score_paper` counts only those without
    modules of their own (`nn.ReLU`, not the blocks around it), once each.
    ReLUs applied as functions (`F.relu`) are invisible to that rule: write them as `nn.ReLU` modules.

    Args:
        module: called with the batch; returns a tensor, or a tuple, list or dict of tensors.
        images: normalised images, shape (n, ...) as `module` takes them, on the module's device.
        return_kernel: whether to return K as well.

    Raises:
        ValueError: no module with "ReLU" in its class's name was called, the outputs hold no tensor or no autograd graph, or
            images of the wrong shape.
    """
    calls: list[_Call] = []
    hooks = [
        m.register_forward_hook(
            lambda m, args, kwargs, result: calls.append(_Call(m, (args, kwargs), result)), with_kwargs=True
        )
        for m in module.modules()
        if "ReLU" in str(type(m))
    ]
    try:
        with torch.inference_mode(False), torch.enable_grad(), _left_as_it_was(module):
            # Copies: one that is not an inference tensor, and of that one that is not a leaf, since a module may change its
            # input in place.
            batch = as_batch(images).detach().clone().requires_grad_()
            outputs = module(batch.clone())
    finally:
        for hook in hooks:
            hook.remove()
    if not calls:
        raise ValueError(f"{type(module).__name__} called no module with 'ReLU' in its class's name (F.relu is not seen)")
    tensors = [tensor for tensor in _tensors(outputs) if tensor.grad_fn is not None]
    if not tensors:
        raise ValueError(f"{type(module).__name__} returned {type(outputs).__name__}: expected tensors with an autograd graph")
    live = _graph_of(tensors)
    n = len(batch)
    published, paper = np.zeros((n, n), np.int64), np.zeros((n, n), np.int64)
    num_units = num_units_paper = 0
    for call in calls:
        if call.graph_node in live:
            if len(call.K_nn) != n:
                raise ValueError(
                    f"{call.name} reads a tensor of {len(call.K_nn)} rows, expected a row for each of the {n} images"
                )
            published += call.K_nn
            num_units += call.num_units
            if call.is_leaf:
                paper += call.K_nn
                num_units_paper += call.num_units
    return Score(log_det(published), log_det(paper), num_units, num_units_paper, published if return_kernel else None)


class _Call:
    """One call of a counted module: the codes of what it read, and its result's place in the autograd graph."""

    def __init__(self, module: nn.Module, inputs: Any, result: Any) -> None:
        x = next(_tensors(inputs)).detach()
        self.name = type(module).__name__
        self.is_leaf = next(module.children(), None) is None
        self.num_units = prod(x.shape[1:])
        self.K_nn: IntMatrix = agreements(x)
        # Taken now: a later in-place operation would give the tensor another place.
        self.graph_node = next(_tensors(result)).grad_fn


def _graph_of(outputs: list[torch.Tensor]) -> set[Any]:
    """All nodes of the autograd graph that the outputs depend on."""
    stack: list[Any] = [tensor.grad_fn for tensor in outputs]
    seen = set(stack)
    while stack:
        for node, _ in stack.pop().next_functions:
            if node is not None and node not in seen:
                seen.add(node)
                stack.append(node)
    return seen


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)


@contextmanager
def _left_as_it_was(module: nn.Module) -> Iterator[None]:
    """Train mode inside; afterwards the modes and buffers (running statistics) are what they were."""
    modes = [(m, m.training) for m in module.modules()]
    buffers = [(m, name, b, b.clone()) for m in module.modules() for name, b in m.named_buffers(recurse=False)]
    module.train()
    try:
        yield
    finally:
        for m, training in modes:
            m.training = training
        with torch.no_grad():
            for m, name, buffer, saved in buffers:
                buffer.copy_(saved)
                setattr(m, name, buffer)
