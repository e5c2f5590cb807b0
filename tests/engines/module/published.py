"""What the published code does with a module: forward and backward to find live modules, then forward to count them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from naswot_ray.engines.activations import agreements


def published_kernel(module: nn.Module, images: torch.Tensor) -> npt.NDArray[np.int64]:
    """K of the published code, shape (n, n), int64; the first output counts. The module's buffers change."""
    module.train()
    live: set[nn.Module] = set()
    K_nn = np.zeros((len(images), len(images)), np.int64)
    counting = False

    def forward_hook(one: nn.Module, inputs: Any, result: Any) -> None:
        if counting and one in live:
            K_nn[:] += agreements(inputs[0])

    def backward_hook(one: nn.Module, inputs: Any, result: Any) -> None:
        live.add(one)

    hooks = []
    for one in module.modules():
        if "ReLU" in str(type(one)):
            # Before the call, since the module may change its input.
            hooks.append(one.register_forward_pre_hook(lambda m, inputs: forward_hook(m, inputs, None)))
            hooks.append(one.register_full_backward_hook(backward_hook))
    outputs = module(images.clone().requires_grad_())
    first = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
    first.backward(torch.ones_like(first))
    counting = True
    module(images.clone())
    for hook in hooks:
        hook.remove()
    module.zero_grad()
    return K_nn
