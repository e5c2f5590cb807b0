"""`Trace`: a first pass with few images, which tells what a module executes.

Three things have to be known before the statistics of a tensor can be taken: whether it is read by an activation, whether the
outputs depend on that activation, and which of its dimensions runs over the images. The first two need an autograd graph,
and the third needs passes with two different numbers of images. So a module runs with three images and a graph, and then with
the whole batch and without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from naswot_ray.engines.module.isolation import isolated
from naswot_ray.engines.module.watch import Event, Watch, graph_of, tensors_of

Outputs = str | int | Callable[[Any], Any] | None
"""Which outputs count: a key, an attribute, a position, or a function of what the module returns; None is the first tensor."""


@dataclass(frozen=True)
class Inputs:
    """What a module is called with.

    Attributes:
        images: the batch.
        batch_dim: the dimension of `images` that runs over the images.
        args, kwargs: further arguments.
    """

    images: torch.Tensor
    batch_dim: int
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] | None = None

    @property
    def num_images(self) -> int:
        """How many images there are."""
        return int(self.images.shape[self.batch_dim])

    def few(self) -> Inputs:
        """A batch of another number of images: the first one twice, then the second once or twice."""
        order = torch.tensor([0, 0, 1] if self.num_images != 3 else [0, 0, 1, 1], device=self.images.device)
        return Inputs(self.images.index_select(self.batch_dim, order), self.batch_dim, self.args, self.kwargs)

    def batch(self, *, graph: bool) -> torch.Tensor:
        """A copy of the images, with an autograd graph that starts at them or without. The module may change it in place."""
        batch = self.images.detach().clone()
        return batch.requires_grad_().clone() if graph and batch.is_floating_point() else batch

    def run(self, module: nn.Module, batch: torch.Tensor) -> Any:
        """Call the module with a copy of the images."""
        return module(batch, *self.args, **(self.kwargs or {}))


@dataclass(frozen=True)
class Trace:
    """What a module executed.

    Attributes:
        events: everything seen, in order.
        live: of each event, whether the outputs depend on its result.
        depends: numbers of the tensors that depend on the images.
        num_images: how many images the pass had.
        folds: for tensors whose first dimension is a multiple of the images, by number of the tensor: True if the images are
            the outer part of it, False if they are the inner part, None if it cannot be told.
    """

    events: tuple[Event, ...]
    live: tuple[bool, ...]
    depends: frozenset[int]
    num_images: int
    folds: Mapping[int, bool | None]


def trace(module: nn.Module, inputs: Inputs, *, outputs: Outputs, seed: int, keep: bool = False) -> Trace:
    """Run a module with a graph, and find what it executes and what its outputs depend on.

    Args:
        module, inputs, outputs, seed: as in `score_module`.
        keep: keep the tensors of the graph, which a module needs that computes gradients within its forward. Otherwise they
            are let go, because only the shape of the graph is needed.

    Raises:
        ValueError: the outputs do not hold a tensor with an autograd graph.
    """
    num_images = inputs.num_images
    folds: dict[int, bool | None] = {}

    def see(event: Event, x: torch.Tensor) -> None:
        if x.ndim and x.shape[0] % num_images == 0 and x.shape[0] > num_images:
            folds[event.tensor] = _images_are_outer(x, num_images)

    watch = Watch(module, see)
    with isolated(module, seed), recording(module, inputs, keep=keep):
        batch = inputs.batch(graph=True)
        start = batch.grad_fn
        with watch.watching():
            returned = inputs.run(module, batch)
        ends = [tensor for tensor in chosen(returned, outputs, type(module).__name__) if tensor.grad_fn is not None]
        if not ends:
            raise ValueError(
                f"the output of {type(module).__name__} does not depend on its images through an autograd graph; outputs= "
                "chooses another one"
            )
        graph = graph_of([tensor.grad_fn for tensor in ends])
        live = tuple(event.graph_node in graph for event in watch.events)
        depends = _depending(watch.events, start)
    for event in watch.events:
        event.graph_node = event.source_node = None
    return Trace(tuple(watch.events), live, depends, num_images, folds)


@contextmanager
def recording(module: nn.Module, inputs: Inputs, *, keep: bool) -> Iterator[None]:
    """Record an autograd graph of a module's pass, with or without the tensors in it."""
    with torch.inference_mode(False), torch.enable_grad(), ExitStack() as stack:
        if not inputs.images.is_floating_point():  # nothing but the parameters can carry a graph
            for parameter in module.parameters():
                parameter.requires_grad_(parameter.is_floating_point())
        if not keep:
            stack.enter_context(torch.autograd.graph.saved_tensors_hooks(lambda tensor: None, _refuse_gradients))
        yield


@contextmanager
def plainly() -> Iterator[None]:
    """Record no autograd graph."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def _depending(events: Sequence[Event], start: Any) -> frozenset[int]:
    """The numbers of the tensors that depend on the images, whose node is `start`; all if they carry no graph."""
    if start is None:
        return frozenset(event.tensor for event in events)
    readers: dict[Any, list[Any]] = {}
    for node in graph_of([event.source_node for event in events]):
        for source, _ in node.next_functions:
            readers.setdefault(source, []).append(node)
    stack, seen = [start], {start}
    while stack:
        for reader in readers.get(stack.pop(), ()):
            if reader not in seen:
                seen.add(reader)
                stack.append(reader)
    return frozenset(event.tensor for event in events if event.source_node in seen)


def chosen(returned: Any, outputs: Outputs, name: str) -> list[torch.Tensor]:
    """The tensors that count as outputs.

    Raises:
        ValueError: what was asked for is not there, or holds no tensor.
    """
    picked = returned
    if callable(outputs):
        picked = outputs(returned)
    elif outputs is not None:
        by_attribute = isinstance(outputs, str) and not isinstance(returned, Mapping)
        try:
            if isinstance(returned, torch.Tensor):
                raise KeyError(outputs)  # a tensor has attributes and rows, but they are no outputs
            picked = getattr(returned, str(outputs)) if by_attribute else returned[outputs]
        except (AttributeError, IndexError, KeyError, TypeError):
            raise ValueError(f"{name} returned {_described(returned)}, which has no output {outputs!r}") from None
    tensors = list(tensors_of(picked))
    if not tensors:
        raise ValueError(f"{name} returned {_described(returned)}, in which no tensor was found; say by outputs= where it is")
    return tensors[:1] if outputs is None else tensors


def _described(returned: Any) -> str:
    """What a module returned, in a few words: its type, and the keys of a mapping or the length of a sequence."""
    name = type(returned).__name__
    if isinstance(returned, Mapping):
        return f"{name} with {', '.join(map(repr, returned))}"
    return f"{name} of {len(returned)}" if isinstance(returned, (tuple, list)) else name


def _images_are_outer(x: torch.Tensor, num_images: int) -> bool | None:
    """Of a tensor of which every image has several rows: whether those of an image follow each other.

    The first two images are the same, so their rows are equal.
    """
    each = x.shape[0] // num_images
    if torch.equal(x[:each], x[each : 2 * each]):
        return True
    return False if torch.equal(x[0::num_images], x[1::num_images]) else None


def _refuse_gradients(_: Any) -> torch.Tensor:
    raise RuntimeError("the tensors of the graph were let go")
