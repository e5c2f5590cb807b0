"""Executes the program of a network with torch, for machines without a C++ compiler. Tensors are stored channels last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

import torch
import torch.nn.functional as F

from naswot_ray.engines.activations import ForwardPassBuilder, find
from naswot_ray.engines.weights import WeightSource
from naswot_ray.measures.statistics import ForwardPass, Statistic
from naswot_ray.network import ops
from naswot_ray.network.program import Combine, Convolve, Instruction, Place, Pool, Program, Shift, Term, View


def execute(program: Program, images: torch.Tensor, weights: WeightSource, wanted: Collection[Statistic]) -> ForwardPass:
    """Compute the wanted statistics of a network.

    Args:
        program: program of the network.
        images: normalised images, shape (n, *network.input_shape), float32.
        weights: gives each layer its weight.
        wanted: which statistics to compute.
    """
    run = _Run(program, images, weights, wanted)
    with torch.no_grad():
        for number, phase in enumerate(program.phases):
            for instruction in phase:
                run.execute(instruction)
            run.drop_read_last_in(number)
    return run.builder.build(program.codes)


class _Run:
    def __init__(self, program: Program, images: torch.Tensor, weights: WeightSource, wanted: Collection[Statistic]) -> None:
        self.builder = ForwardPassBuilder(len(images), wanted)
        self._program = program
        self._weights = weights
        self._wanted = wanted
        self._n = len(images)
        self._tensors = {0: images.contiguous(memory_format=torch.channels_last)}
        self._pieces: defaultdict[int, dict[int, torch.Tensor]] = defaultdict(dict)
        """Maps an index of codes to first channel -> value, until all channels have been computed."""

    def drop_read_last_in(self, phase: int) -> None:
        for number in [n for n in self._tensors if self._program.tensors[n].last == phase]:
            del self._tensors[number]

    def execute(self, instruction: Instruction) -> None:
        match instruction:
            case Convolve(op, view, output):
                weight, x = self._weights(op), self._read(view)
                if view.channels == 1:
                    # The strides of this tensor fit both memory formats at once. torch 2.13 convolves some such tensors
                    # wrongly, for instance (19, 1, 4, 2) by a kernel of 1x3 with a stride.
                    x = x.clone(memory_format=torch.contiguous_format)
                self._tensors[output] = F.conv2d(x, weight, None, op.stride, op.padding, op.dilation, op.groups)
            case Pool(ops.AvgPool() as op, view, output):
                self._tensors[output] = F.avg_pool2d(
                    self._read(view), op.kernel, op.stride, op.padding, count_include_pad=False
                )
            case Pool(op, view, output):
                self._tensors[output] = F.max_pool2d(self._read(view), op.kernel, op.stride, op.padding)
            case Shift(view, output):
                self._tensors[output] = F.pad(self._read(view), (0, 1, 0, 1))[:, :, 1:, 1:]
            case Combine():
                self._combine(instruction)

    def _combine(self, combine: Combine) -> None:
        total: torch.Tensor | None = None
        for term in combine.terms:
            value = self._value(term)
            total = value if total is None else total + value
        if total is None:
            total = torch.zeros(self._n, *combine.shape, dtype=torch.float32, device="cpu")
        self._take(combine.codes, total)
        if combine.total is not None:
            self._write(combine.total, total)
        if combine.rectified is not None:
            self._write(combine.rectified, F.relu(total))

    def _value(self, term: Term) -> torch.Tensor:
        value = self._read(term.view)
        if term.normalised:
            value = F.batch_norm(value, None, None, training=True, eps=1e-5)
        self._take(term.codes, value)
        return F.relu(value) if term.rectified else value

    def _read(self, view: View) -> torch.Tensor:
        return self._tensors[view.tensor][:, view.offset : view.offset + view.channels]

    def _write(self, place: Place, value: torch.Tensor) -> None:
        shape = self._program.tensors[place.index].shape
        if value.shape[1:] == shape:
            self._tensors[place.index] = value
            return
        if place.index not in self._tensors:
            self._tensors[place.index] = torch.empty(
                self._n, *shape, dtype=value.dtype, device=value.device, memory_format=torch.channels_last
            )
        self._tensors[place.index][:, place.offset : place.offset + value.shape[1]] = value

    def _take(self, place: Place | None, value: torch.Tensor) -> None:
        if place is None:
            return
        if place.positive:
            value = F.relu(value)
        codes, pieces = self._program.codes[place.index], self._pieces[place.index]
        pieces[place.offset] = value
        if sum(piece[0].numel() for piece in pieces.values()) < codes.num_units:
            return
        in_order = [pieces[offset] for offset in sorted(pieces)]
        self.builder.add(codes, find(in_order[0] if len(in_order) == 1 else torch.cat(in_order, 1), self._wanted))
        del self._pieces[place.index]
