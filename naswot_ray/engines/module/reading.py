"""`Reading`: the second pass, with the whole batch, in which the statistics of the counted tensors are taken."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import prod
from typing import Final

import torch
from torch import nn

from naswot_ray.engines.activations import ForwardPassBuilder, TensorStatistics, find
from naswot_ray.engines.module.activations import Activation, Activations, Fate
from naswot_ray.engines.module.counting import Counts
from naswot_ray.engines.module.isolation import isolated
from naswot_ray.engines.module.layout import Layout, layout_of
from naswot_ray.engines.module.operations import Kind
from naswot_ray.engines.module.trace import Inputs, Outputs, Trace, chosen, plainly, recording
from naswot_ray.engines.module.watch import Event, Watch
from naswot_ray.measures import Statistic
from naswot_ray.measures.statistics import ForwardPass
from naswot_ray.network.plan import Codes

_UNCOUNTED: Final = {Kind.SIGN: Fate.SMOOTH, Kind.OTHER: Fate.OTHER, Kind.FUSED: Fate.FUSED}


class OtherEventsError(Exception):
    """The module executes other activations than it did in the trace."""


class NotFiniteError(Exception):
    """A counted tensor or an output holds NaN or infinity."""


class Reading:
    """Takes the statistics of a module's tensors.

    Args:
        traced: what the module executes.
        counts: how often each of its tensors counts.
        wanted: the statistics to take.
        batch_dim: where the images are in a tensor whose shape does not tell.
    """

    def __init__(self, traced: Trace, counts: Counts, wanted: Collection[Statistic], batch_dim: int | None) -> None:
        self._traced = traced
        self._counts = counts
        self._wanted = wanted
        self._batch_dim = batch_dim
        self._num_images = 0
        self._num_events = 0
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._layouts: dict[int, Layout | Fate] = {}
        self._found: dict[int, TensorStatistics] = {}

    def run(self, module: nn.Module, inputs: Inputs, *, outputs: Outputs, seed: int, graph: bool) -> None:
        """Run the module on the batch.

        Args:
            module, inputs, outputs, seed: as in `score_module`.
            graph: record an autograd graph with its tensors, as some modules need.

        Raises:
            OtherEventsError: it executes other activations than in the trace.
            NotFiniteError: a counted tensor or an output is not finite.
            ValueError: it cannot be told where the images are in a tensor.
        """
        self._num_images = inputs.num_images
        watch = Watch(module, self._see)
        with isolated(module, seed), recording(module, inputs, keep=True) if graph else plainly(), watch.watching():
            returned = inputs.run(module, inputs.batch(graph=graph))
        if self._num_events != len(self._traced.events):
            raise OtherEventsError
        for output in chosen(returned, outputs, type(module).__name__):
            if output.is_floating_point() and not bool(torch.isfinite(output).all()):
                raise NotFiniteError

    def _see(self, event: Event, x: torch.Tensor) -> None:
        if self._num_events >= len(self._traced.events) or not event.is_like(self._traced.events[self._num_events]):
            raise OtherEventsError
        self._num_events += 1
        if event.tensor in self._shapes:
            return
        self._shapes[event.tensor] = event.shape
        layout = self._layouts[event.tensor] = self._layout(event, self._traced.events[self._num_events - 1])
        if isinstance(layout, Layout) and (self._counts.multiplicity[event.tensor] or self._counts.num_relus[event.tensor]):
            if not bool(torch.isfinite(x).all()):
                raise NotFiniteError
            self._found[event.tensor] = find(layout.align(x), self._wanted)

    def _layout(self, event: Event, traced: Event) -> Layout | Fate:
        layout = layout_of(
            event.shape,
            traced.shape,
            self._num_images,
            self._traced.num_images,
            outer=self._traced.folds.get(event.tensor),
            depends=traced.tensor in self._traced.depends,
        )
        if layout is None:
            dim = self._batch_dim
            if dim is not None and dim < len(event.shape) and event.shape[dim] == self._num_images:
                return Layout(dim)
            raise ValueError(
                f"{event.name} in {event.module or 'the module itself'} reads a tensor of shape {event.shape}, of which more "
                f"than one dimension may run over the {self._num_images} images: say by batch_dim= which, or take a number of "
                "images that no other dimension is a multiple of"
            )
        return layout

    def forward_pass(self) -> ForwardPass:
        """The statistics of the module."""
        builder = ForwardPassBuilder(self._num_images, self._wanted)
        codes: list[Codes] = []
        for number, found in self._found.items():
            codes.append(
                Codes(len(codes), self.num_units(number), self._counts.num_relus[number], self._counts.multiplicity[number])
            )
            builder.add(codes[-1], found)
        return builder.build(tuple(codes))

    def num_units(self, tensor: int) -> int:
        """How many elements a tensor has for each image."""
        layout = self._layouts[tensor]
        return prod(self._shapes[tensor]) // self._num_images if isinstance(layout, Layout) else 0

    def published_units(self) -> int:
        """How many units the published code counts. It takes the first dimension of each tensor for the images."""
        shapes = [(self._shapes[tensor], number) for tensor, number in self._counts.published.items()]
        return sum(number * prod(shape[1:]) for shape, number in shapes if shape and shape[0] == self._num_images)

    def table(self, kinds: Collection[Kind]) -> Activations:
        """What was executed, and what of it counts."""
        return Activations(self._rows(kinds))

    def _rows(self, kinds: Collection[Kind]) -> Iterable[Activation]:
        for event, live in zip(self._traced.events, self._traced.live, strict=True):
            if event.kind is None:
                continue
            layout = self._layouts[event.tensor]
            fate = Fate.COUNTED
            if not live:
                fate = Fate.DEAD
            elif not isinstance(layout, Layout):
                fate = layout
            elif event.kind not in kinds:
                fate = _UNCOUNTED[event.kind]
            yield Activation(
                event.module, event.name, event.kind, self._shapes[event.tensor], self.num_units(event.tensor), fate
            )
