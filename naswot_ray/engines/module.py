"""The scores of your own network: any `torch.nn.Module` with ReLUs.

ReLUs are counted by the rule of the published code. Every module whose class has "ReLU" in its qualified name counts at each
call: blocks such as `ReLUConvBN`, and also the ReLUs inside them. A call counts only if the outputs depend on its result.
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

    The module runs forward once in train mode, so batch norms use the statistics of the batch. The autograd graph tells which
    ReLUs the outputs depend on; there is no backward pass. The mode, buffers and gradients of the module do not change.

    `naswot` counts modules by the rule of the published code: each module whose class has "ReLU" in its name, at each call.
    `naswot_paper` counts only those without submodules, once each: `nn.ReLU`, but not the blocks around it. The other measures
    use each tensor that these ReLUs read once. A ReLU that is applied as a function (`F.relu`) is not counted; write it as an
    `nn.ReLU` module.

    Args:
        module: it is called with the batch, and returns a tensor, or a tuple, list or dict of tensors.
        images: normalised images, shape (n, ...) as the module expects, on its device.
        measures: names of measures (`naswot-ray measures` lists them), or `all`.
        return_kernel: whether to return K as well.

    Raises:
        SettingsError: a measure is unknown.
        ValueError: no module with "ReLU" in the name of its class was called, the outputs contain no tensor with an autograd
            graph, or the images have the wrong shape.
    """
    chosen = get_measures(measures)
    wanted = statistics_of(chosen) | ({Statistic.KERNELS} if return_kernel else frozenset())
    calls = _Calls(wanted)
    hooks = [hook for m in module.modules() if "ReLU" in str(type(m)) for hook in calls.watch(m)]
    try:
        with torch.inference_mode(False), torch.enable_grad(), _left_as_it_was(module):
            # The first copy is not an inference tensor. The second is not a leaf, so that the module may change its input in
            # place.
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
    """The calls, grouped by the tensor that they read."""
    found: dict[int, list[_Call]] = {}
    for call in calls:
        found.setdefault(id(call.found), []).append(call)
    return found.values()


class _Calls:
    """The calls of counted modules, recorded by hooks.

    Statistics are computed before the call, because a ReLU may change its input in place.
    """

    def __init__(self, wanted: Collection[Statistic]) -> None:
        self.ended: list[_Call] = []
        self._wanted = wanted
        self._open: list[_Call] = []

    def watch(self, module: nn.Module) -> tuple[RemovableHandle, RemovableHandle]:
        """Attach the hooks to a module."""
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
        # It is read now, because a later in-place operation would move the tensor to another node.
        call.graph_node = next(_tensors(result)).grad_fn
        self.ended.append(call)


@dataclass
class _Call:
    """One call of a counted module.

    Attributes:
        name: name of the class of the module.
        is_leaf: whether the module has no submodules.
        x, version: the tensor that it reads, and its version. A tensor that was changed in place has a new version, and counts
            as another tensor.
        found: the statistics of that tensor; calls that read the same tensor share one object.
        graph_node: the node of its result in the autograd graph.
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
    """Switch to train mode, and restore modes and buffers (running statistics) afterwards."""
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
