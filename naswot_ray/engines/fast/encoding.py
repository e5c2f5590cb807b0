"""A program as the numbers that kernels.cpp executes, and the memory it needs.

Memory is laid out before anything runs, so how much a network takes is known beforehand, exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from naswot_ray.network import ops
from naswot_ray.network.program import Combine, Convolve, Instruction, Place, Pool, Program, Shift

LANES = 16
"""Images of a block (lanes.h)."""

_CONVOLVE, _AVERAGE_POOL, _MAXIMUM_POOL, _SHIFT, _COMBINE = range(5)


@dataclass(frozen=True)
class Encoded:
    """What kernels.cpp is called with.

    Attributes:
        words: shape (length,), int64.
        layers: the convolutions whose weights are laid end to end, each flat, in this order.
        num_weights: elements of all of these.
        image_padding: zeros around the images.
        num_floats, num_masks: elements of the memory for tensors (4 bytes each) and for codes (2 bytes).
    """

    words: npt.NDArray[np.int64]
    layers: tuple[ops.Conv, ...]
    num_weights: int
    image_padding: int
    num_floats: int
    num_masks: int

    @property
    def num_bytes(self) -> int:
        """Of tensors, codes and weights."""
        return 4 * self.num_floats + 2 * self.num_masks + 8 * self.num_weights


def encode(program: Program, n: int) -> Encoded:
    """Lay out memory for a batch of n images, and encode the program."""
    num_blocks = -(-n // LANES)
    tensors, num_floats, num_channels = _lay_out_tensors(program, num_blocks)
    codes, num_masks = _lay_out_codes(program, num_blocks)
    layers: list[ops.Conv] = []
    num_weights = 0
    phases: list[int] = []
    for phase in program.phases:
        words: list[int] = []
        for instruction in phase:
            if isinstance(instruction, Convolve):
                encoded = [*_convolve(instruction), num_weights]
                layers.append(instruction.op)
                num_weights += prod(instruction.op.weight_shape)
            else:
                encoded = _encode(instruction)
            words.append(len(encoded) + 1)
            words += encoded
        phases += [len(phase), len(words) + 2, *words]
    # Rows of tensors without padding are read as one.
    longest_row = max(prod(tensor.shape[1:]) for tensor in program.tensors)
    head = [len(program.tensors), len(codes) // 5, len(program.phases), num_channels, longest_row]
    return Encoded(
        words=np.array([*head, *tensors, *codes, *phases], np.int64),
        layers=tuple(layers),
        num_weights=num_weights,
        image_padding=program.tensors[0].padding,
        num_floats=num_floats,
        num_masks=num_masks,
    )


def _convolve(instruction: Convolve) -> list[int]:
    op, source = instruction.op, instruction.input
    return [
        _CONVOLVE,
        *(source.tensor, source.offset, instruction.output),
        *(op.in_channels, op.out_channels, *op.kernel, *op.stride, *op.padding, op.dilation, op.groups),
    ]


def _encode(instruction: Pool | Shift | Combine) -> list[int]:
    match instruction:
        case Pool(op, source, output):
            opcode = _AVERAGE_POOL if isinstance(op, ops.AvgPool) else _MAXIMUM_POOL
            return [opcode, source.tensor, source.offset, output, op.kernel, op.stride, op.padding]
        case Shift(source, output):
            return [_SHIFT, source.tensor, source.offset, output]
        case Combine(shape, terms, total, rectified, codes):
            words = [_COMBINE, *shape, *_place(total), *_place(rectified), *_place(codes), len(terms)]
            for term in terms:
                flags = term.normalised + 2 * term.rectified
                words += (term.view.tensor, term.view.offset, flags, *_place(term.codes))
            return words


def _place(place: Place | None) -> tuple[int, int]:
    return (-1, 0) if place is None else (place.index, place.offset)


def _lay_out_tensors(program: Program, num_blocks: int) -> tuple[list[int], int, int]:
    """The tensors' records, and how many floats and normalised channels there are.

    A tensor that is read in its own phase only needs room for one block, and that only from its first to its last use.
    """
    first_use, last_use = _uses(program)
    starts = [0]
    for phase in program.phases:
        starts.append(starts[-1] + len(phase))
    whole: list[tuple[int, int, int, int]] = []
    local: list[tuple[int, int, int, int]] = []
    strides: list[int] = []
    for number, tensor in enumerate(program.tensors):
        channels, height, width = tensor.shape
        size = channels * (height + 2 * tensor.padding) * (width + 2 * tensor.padding) * LANES
        strides.append(size)
        if number == 0:
            continue  # the caller's
        if tensor.normalised or tensor.last > tensor.first:
            whole.append((starts[tensor.first], starts[tensor.last + 1] - 1, size * num_blocks, number))
        else:
            local.append((first_use[number], last_use[number], size, number))
            strides[number] = 0
    offsets: dict[int, int] = {0: 0}
    local_size = _place_all(local, offsets, 0)
    num_floats = _place_all(whole, offsets, local_size)
    records: list[int] = []
    num_channels = 0
    for number, tensor in enumerate(program.tensors):
        records += (offsets[number], strides[number], *tensor.shape, tensor.padding, num_channels if tensor.normalised else -1)
        num_channels += tensor.shape[0] if tensor.normalised else 0
    return records, num_floats, num_channels


def _uses(program: Program) -> tuple[dict[int, int], dict[int, int]]:
    """For each tensor the first and the last instruction that uses it, by number."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for number, instruction in enumerate(instruction for phase in program.phases for instruction in phase):
        for tensor in _tensors_of(instruction):
            first.setdefault(tensor, number)
            last[tensor] = number
    return first, last


def _tensors_of(instruction: Instruction) -> Iterable[int]:
    if isinstance(instruction, Combine):
        found = [term.view.tensor for term in instruction.terms]
        return found + [place.index for place in (instruction.total, instruction.rectified) if place is not None]
    return (instruction.input.tensor, instruction.output)


def _lay_out_codes(program: Program, num_blocks: int) -> tuple[list[int], int]:
    """The records of the codes that have to be computed, and how many masks there are."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for number, phase in enumerate(program.phases):
        for instruction in phase:
            if isinstance(instruction, Combine):
                for place in (instruction.codes, *(term.codes for term in instruction.terms)):
                    if place is not None:
                        first.setdefault(place.index, number)
                        last[place.index] = number
    sizes = [-(-codes.num_units // 64) * 64 * num_blocks for codes in program.codes]
    offsets: dict[int, int] = {}
    num_masks = _place_all([(first[i], last[i], sizes[i], i) for i in first], offsets, 0)
    records: list[int] = []
    for i, codes in enumerate(program.codes):
        records += (offsets.get(i, 0), codes.num_units, codes.multiplicity, codes.num_relus, last.get(i, -1))
    return records, num_masks


def _place_all(intervals: list[tuple[int, int, int, int]], offsets: dict[int, int], start: int) -> int:
    """Give each (first, last, size, key) the lowest place from `start` on that is free all the time; returns the end of all."""
    end = start
    live: list[tuple[int, int, int]] = []  # place, its end, when it becomes free
    for first, last, size, key in sorted(intervals):
        live = [entry for entry in live if entry[2] >= first]
        place = start
        for taken, taken_end, _ in live:
            if taken - place >= size:
                break
            place = max(place, taken_end)
        offsets[key] = place
        live.append((place, place + size, last))
        live.sort()
        end = max(end, place + size)
    return end
