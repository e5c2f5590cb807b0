"""Runs a module so that nothing of it remains: its mode, buffers and gradients, and the random numbers of the process."""

from __future__ import annotations

import inspect
import random
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy


@contextmanager
def isolated(module: nn.Module, seed: int) -> Iterator[None]:
    """Switch a module to train mode and seed the random numbers; restore everything afterwards.

    Restored are the modes, the buffers (running statistics), the attributes that a forward pass sets, which parameters ask for
    gradients, and the state of the random generators of torch, NumPy and `random`. Meanwhile, a module that `torch.compile`
    made runs uncompiled, and hooks on the backward pass, which there is none of, are off: they would add operations.

    Raises:
        ValueError: the module cannot be switched to train mode.
    """
    modes = [(m, m.training) for m in module.modules()]
    attributes = [_Attributes(m) for m in module.modules() if not isinstance(m, torch.jit.ScriptModule)]
    buffers = [(m, name, b, b.clone()) for m in module.modules() for name, b in m.named_buffers(recurse=False)]
    asks = [(p, p.requires_grad) for p in module.parameters()]
    try:
        with ExitStack() as stack:
            stack.enter_context(_random_numbers(module, seed))
            if "torch._dynamo" in sys.modules:
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(torch.jit.optimized_execution(False))  # type: ignore[attr-defined]  # an optimised script hides operations from the graph
            _to_train_mode(module)
            for one in attributes:
                one.without_backward_hooks()
            yield
    finally:
        for one in attributes:
            one.restore()
        for m, training in modes:
            m.training = training
        for parameter, requires_grad in asks:
            if parameter.requires_grad != requires_grad:
                parameter.requires_grad_(requires_grad)
        with torch.no_grad():
            for m, name, buffer, saved in buffers:
                buffer.copy_(saved)
                setattr(m, name, buffer)


def check_runnable(module: nn.Module, batch: torch.Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Refuse a module that cannot run on a batch, before anything runs.

    Raises:
        ValueError: it is no module, has parameters without values, or needs other arguments.
    """
    name = type(module).__name__
    if not isinstance(module, nn.Module):
        raise ValueError(f"expected a torch.nn.Module, got {name}; of an exported program, score the module that was exported")
    for path, tensor in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(tensor):
            raise ValueError(
                f"{path} of {name} is lazy and has no shape yet: call the module on a batch once before scoring it"
            )
        if tensor.is_meta:
            raise ValueError(f"{path} of {name} is on the meta device and has no values: build the module on a real device")
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError):
        return  # a scripted module does not tell
    try:
        signature.bind(batch, *args, **kwargs)
    except TypeError as error:
        raise ValueError(
            f"{name}.forward{signature}: {error}; pass further arguments by forward_args and forward_kwargs"
        ) from None


def _to_train_mode(module: nn.Module) -> None:
    try:
        module.train()
    except NotImplementedError as error:
        raise ValueError(
            f"{type(module).__name__} cannot be switched to train mode ({error}): score the original module"
        ) from None


class _Attributes:
    """The attributes of one module, among them the dictionaries of its buffers, parameters and submodules."""

    _REGISTERS: Final = ("_buffers", "_parameters", "_modules", "_non_persistent_buffers_set")

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._saved = dict(vars(module))
        self._registers = {name: copy(self._saved[name]) for name in self._REGISTERS}

    def without_backward_hooks(self) -> None:
        self._module._backward_hooks = OrderedDict()
        self._module._backward_pre_hooks = OrderedDict()

    def restore(self) -> None:
        attributes = vars(self._module)
        attributes.clear()
        attributes.update(self._saved)
        for name, content in self._registers.items():
            attributes[name].clear()
            attributes[name].update(content)


@contextmanager
def _random_numbers(module: nn.Module, seed: int) -> Iterator[None]:
    devices = {tensor.device for tensor in (*module.parameters(), *module.buffers()) if tensor.device.type == "cuda"}
    of_numpy, of_python = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=sorted(devices, key=str)):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield
    finally:
        np.random.set_state(of_numpy)
        random.setstate(of_python)
