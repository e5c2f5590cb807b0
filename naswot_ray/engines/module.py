"""The scores of a network of your own: any `torch.nn.Module` with ReLUs.

The published code's rule, applied to a module: everything whose class has "ReLU" in its qualified name is counted at each
call, blocks such as `ReLUConvBN` as well as the ReLUs inside them; a call counts iff the outputs depend on its result.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from naswot_ray.engines.activations import ForwardPassBuilder, TensorStatistics, find
from naswot_ray.engines.engine import Scores, statistics_of, values_of
from naswot_ray.engines.score import Images, as_batch
from naswot_ray.measures import DEFAULT_MEASURES, Statistic, get_measures
from naswot_ray.network.plan import Codes


def score_module(
    module: nn.Module, images: Images, *, measures: Iterable[str] = DEFAULT_MEASURES, return_kernel: bool = False
) -> Scores:
    """Score an untrained module of your own on a batch.

    One forward pass in train mode (batch norms use the batch's own statistics); which ReLUs the outputs depend on is read off
    the autograd graph, without a backward pass. The module comes back as it was: mode, buffers and gradients unchanged.

    `naswot` follows the published code's rule (see the module's head), `naswot_paper` counts only those without
    modules of their own (`nn.ReLU`, not the blocks around it), once each. The other measures take each tensor that these
    ReLUs read once. ReLUs applied as functions (`F.relu`) are invisible to that rule: write them as `nn.ReLU` modules.

    Args:
        module: called with the batch; returns a tensor, or a tuple, list or dict of tensors.
        images: normalised images, shape (n, ...) as `module` takes them, on the module's device.
        measures: their names (`naswot-ray measures` lists them), or `all`.
        return_kernel: whether to return K as well.

    Raises:
        SettingsError: an unknown measure.
        ValueError: no module with "ReLU" in its class's name was called, the outputs hold no tensor or no autograd graph, or
            images of the wrong shape.
    """
    chosen = get_measures(measures)
    wanted = statistics_of(chosen) | ({Statistic.KERNELS} if return_kernel else frozenset())
    calls = _Calls(wanted)
    hooks = [hook for m in module.modules() if "ReLU" in str(type(m)) for hook in calls.watch(m)]
    try:
        with torch.inference_mode(False), torch.enable_grad(), _left_as_it_was(module):
            # Copies: one that is not an inference tensor, and of that one that is not a leaf, since a module may change its
            # input in place.
            batch = as_batch(images).detach().clone().requires_grad_()
            outputs = module(batch.clone())
    finally:
        for hook in hooks:
            hook.remove()
    if not calls.ended:
        raise ValueError(f"{type(module).__name__} called no module with 'ReLU' in its class's name (F.relu is not seen)")
    tensors = [tensor for tensor in _tensors(outputs) if tensor.grad_fn is not None]
    if not tensors:
        raise ValueError(f"{type(module).__name__} returned {type(outputs).__name__}: expected tensors with an autograd graph")
    live = _graph_of(tensors)
    builder = ForwardPassBuilder(len(batch), wanted)
    codes: list[Codes] = []
    for same in _by_tensor([call for call in calls.ended if call.graph_node in live]):
        first = same[0]
        if len(first.x) != len(batch):
            raise ValueError(
                f"{first.name} reads a tensor of {len(first.x)} rows, expected a row for each of the {len(batch)} images"
            )
        codes.append(Codes(len(codes), prod(first.x.shape[1:]), sum(call.is_leaf for call in same), len(same)))
        builder.add(codes[-1], first.found)
    forward = builder.build(tuple(codes))
    return Scores(
        *values_of(forward, chosen),
        num_units=sum(one.multiplicity * one.num_units for one in codes),
        num_units_paper=sum(one.num_relus * one.num_units for one in codes),
        kernel=forward.kernels.published if return_kernel else None,
    )


def _by_tensor(calls: list[_Call]) -> Iterable[list[_Call]]:
    """The calls that read one tensor, side by side."""
    found: dict[int, list[_Call]] = {}
    for call in calls:
        found.setdefault(id(call.found), []).append(call)
    return found.values()


class _Calls:
    """The calls of counted modules, as hooks see them.

    A tensor is looked at before the call, since a ReLU may change it in place.
    """

    def __init__(self, wanted: Collection[Statistic]) -> None:
        self.ended: list[_Call] = []
        self._wanted = wanted
        self._open: list[_Call] = []

    def watch(self, module: nn.Module) -> tuple[RemovableHandle, RemovableHandle]:
        """Hook a module."""
        return (
            module.register_forward_pre_hook(self._begin, with_kwargs=True),
            module.register_forward_hook(self._end),
        )

    def _begin(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        x = next(_tensors((args, kwargs)))
        known = [call for call in (*self.ended, *self._open) if call.x is x and call.version == x._version]
        found = known[0].found if known else find(x.detach(), self._wanted)
        self._open.append(_Call(type(module).__name__, next(module.children(), None) is None, x, x._version, found))

    def _end(self, module: nn.Module, args: Any, result: Any) -> None:
        call = self._open.pop()
        # Taken now: a later in-place operation would give the tensor another place.
        call.graph_node = next(_tensors(result)).grad_fn
        self.ended.append(call)


@dataclass
class _Call:
    """One call of a counted module.

    Attributes:
        name: of the module's class.
        is_leaf: whether it has no modules of its own.
        x, version: the tensor that it reads; one that is changed in place is another one, which its version tells.
        found: of that tensor; one object for all calls that read it.
        graph_node: its result's place in the autograd graph.
    """

    name: str
    is_leaf: bool
    x: torch.Tensor
    version: int
    found: TensorStatistics
    graph_node: Any = None


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
