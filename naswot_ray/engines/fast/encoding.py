"""A program as the numbers that kernels.cpp executes, and the memory it needs.

Memory is laid out before anything runs, so how much a network takes is known beforehand, exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import prod
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from naswot_ray.measures.statistics import PATTERN_IMAGES, Statistic
from naswot_ray.network import ops
from naswot_ray.network.program import Combine, Convolve, Instruction, Place, Pool, Program, Shift

LANES: Final = 16
"""Images of a block (lanes.h)."""

BAND_BYTES: Final = 2**16
"""Values whose products are summed up at once: they should be in the first two levels of cache."""

_MIN_BAND: Final = 64
"""Pixels of a band at least, where an image has so many: the sums of a band are added to others at its end."""

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
        num_values: elements of the memory for values of tensors that ReLUs read (4 bytes).
        tensors: those tensors, in the order of the codes.
        num_covariances, num_correlations: elements of all lower triangles of each (8 bytes).
        num_kernel_entries: elements of the kernels of the tensors, each (n, n) (4 bytes).
        num_patterns: of signs (1 byte).
    """

    words: npt.NDArray[np.int64]
    layers: tuple[ops.Conv, ...]
    num_weights: int
    image_padding: int
    num_floats: int
    num_masks: int
    num_values: int
    tensors: tuple[CodedTensor, ...]
    num_covariances: int
    num_correlations: int
    num_kernel_entries: int
    num_patterns: int

    @property
    def num_bytes(self) -> int:
        """Of tensors, codes, weights, and what is found."""
        memory = 4 * (self.num_floats + self.num_values) + 2 * self.num_masks + 8 * self.num_weights
        # Eigenvalues of many matrices at once take a copy of them.
        return memory + 8 * 2 * (self.num_covariances + self.num_correlations) + 4 * self.num_kernel_entries + self.num_patterns


class CodedTensor(NamedTuple):
    """A tensor whose codes are computed.

    Attributes:
        channels, pixels: of one image.
        correlated: whether its correlation is computed.
    """

    channels: int
    pixels: int
    correlated: bool


def encode(program: Program, n: int, wanted: Collection[Statistic], pair_floats: int) -> Encoded:
    """Lay out memory for a batch of n images, and encode the program.

    Args:
        program: of the network.
        n: number of images.
        wanted: what to find.
        pair_floats: floats that the values of two pixels take, sixteen images each (pairs.h).
    """
    num_blocks = -(-n // LANES)
    tensors, num_floats, num_channels = _lay_out_tensors(program, num_blocks)
    codes = _lay_out_codes(program, num_blocks, wanted, pair_floats)
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
                encoded = _encode(instruction, wanted)
            words.append(len(encoded) + 1)
            words += encoded
        phases += [len(phase), len(words) + 2, *words]
    # Rows of tensors without padding are read as one.
    longest_row = max(prod(tensor.shape[1:]) for tensor in program.tensors)
    head = [len(program.tensors), len(program.codes), len(program.phases), num_channels, longest_row, codes.band_floats]
    return Encoded(
        words=np.array([*head, *tensors, *codes.records, *phases], np.int64),
        layers=tuple(layers),
        num_weights=num_weights,
        image_padding=program.tensors[0].padding,
        num_floats=num_floats,
        num_masks=codes.num_masks,
        num_values=codes.num_values,
        tensors=codes.tensors,
        num_covariances=codes.num_covariances,
        num_correlations=codes.num_correlations,
        num_kernel_entries=len(codes.tensors) * n * n if Statistic.TENSOR_LOG_DETS in wanted else 0,
        num_patterns=2**PATTERN_IMAGES if Statistic.PATTERNS in wanted else 0,
    )


def _convolve(instruction: Convolve) -> list[int]:
    op, source = instruction.op, instruction.input
    return [
        _CONVOLVE,
        *(source.tensor, source.offset, instruction.output),
        *(op.in_channels, op.out_channels, *op.kernel, *op.stride, *op.padding, op.dilation, op.groups),
    ]


def _encode(instruction: Pool | Shift | Combine, wanted: Collection[Statistic]) -> list[int]:
    match instruction:
        case Pool(op, source, output):
            opcode = _AVERAGE_POOL if isinstance(op, ops.AvgPool) else _MAXIMUM_POOL
            return [opcode, source.tensor, source.offset, output, op.kernel, op.stride, op.padding]
        case Shift(source, output):
            return [_SHIFT, source.tensor, source.offset, output]
        case Combine(shape, terms, total, rectified, codes):
            band = _band_pixels(shape) if Statistic.COVARIANCE_SPECTRA in wanted else prod(shape[1:])
            words = [_COMBINE, *shape, *_place(total), *_place(rectified), *_place(codes), band, len(terms)]
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


@dataclass(frozen=True)
class _Codes:
    """The records of the codes, and what memory they take: as in `Encoded`."""

    records: list[int]
    band_floats: int
    num_masks: int
    num_values: int
    tensors: tuple[CodedTensor, ...]
    num_covariances: int
    num_correlations: int


class _Piece(NamedTuple):
    """Channels of codes, written by a combination in a phase."""

    phase: int
    combine: Combine


def _lay_out_codes(program: Program, num_blocks: int, wanted: Collection[Statistic], pair_floats: int) -> _Codes:
    """Where the codes that have to be computed go, and what is found of the values that they are of."""
    pieces = _pieces(program)
    sizes = [-(-codes.num_units // 64) * 64 * num_blocks for codes in program.codes]
    phases = {i: (found[0].phase, found[-1].phase) for i, found in pieces.items()}
    masks: dict[int, int] = {}
    num_masks = _place_all([(*phases[i], sizes[i], i) for i in pieces], masks, 0)
    band_floats = num_bands = num_covariances = num_correlations = 0
    kept: list[tuple[int, int, int, int]] = []
    firsts: list[tuple[int, int, int, int]] = []
    tensors: dict[int, CodedTensor] = {}
    shapes: dict[int, tuple[int, int, int]] = {}  # of kept values: pairs of a channel, floats of a block, blocks
    for i in sorted(pieces):
        height, width = pieces[i][0].combine.shape[1:]
        pixels = height * width
        channels = program.codes[i].num_units // pixels
        # The correlation over no more pixels than channels is singular: less the mean, the rank is below that.
        correlated = Statistic.SMALLEST_CORRELATIONS in wanted and pixels > channels
        tensors[i] = CodedTensor(channels, pixels, correlated)
        if correlated:
            firsts.append((*phases[i], -(-pixels // LANES) * LANES * channels, i))
        if Statistic.COVARIANCE_SPECTRA in wanted and len(pieces[i]) > 1:
            pairs = height * -(-width // 2)
            blocks = 1 if phases[i][0] == phases[i][1] else num_blocks
            shapes[i] = (pairs, pairs * channels * pair_floats, blocks)
            kept.append((*phases[i], shapes[i][1] * blocks, i))
    if Statistic.COVARIANCE_SPECTRA in wanted:
        for combine in {id(piece.combine): piece.combine for found in pieces.values() for piece in found}.values():
            channels, _, width = combine.shape
            # A band is some whole rows, or a part of all pixels in a row.
            pairs = max(_band_pixels(combine.shape), width + 1)
            band_floats = max(band_floats, channels * pairs * pair_floats)
            num_bands = max(num_bands, len(combine.terms) + 1)
    values: dict[int, int] = {}
    first_values: dict[int, int] = {}
    end = _place_all(kept, values, band_floats * num_bands)
    num_values = _place_all(firsts, first_values, end)
    records: list[int] = []
    numbers = {i: number for number, i in enumerate(tensors)}
    for i, codes in enumerate(program.codes):
        phase = phases[i][1] if i in phases else -1
        channels, pixels, correlated = tensors.get(i, CodedTensor(0, 0, False))
        pairs, block_floats, blocks = shapes.get(i, (0, 0, 0))
        records += (masks.get(i, 0), codes.num_units, codes.multiplicity, codes.num_relus, phase)
        records += (numbers.get(i, -1), channels, pixels)
        records += (values.get(i, -1), block_floats if blocks > 1 else 0, pairs, first_values.get(i, -1))
        records += (num_covariances, num_correlations if correlated else -1)
        triangle = channels * (channels + 1) // 2
        num_covariances += triangle if Statistic.COVARIANCE_SPECTRA in wanted else 0
        num_correlations += triangle if correlated else 0
    return _Codes(records, band_floats, num_masks, num_values, tuple(tensors.values()), num_covariances, num_correlations)


def _pieces(program: Program) -> dict[int, list[_Piece]]:
    """Index of codes -> what writes them, in order of execution."""
    pieces: defaultdict[int, list[_Piece]] = defaultdict(list)
    for number, phase in enumerate(program.phases):
        for instruction in phase:
            if isinstance(instruction, Combine):
                for place in (instruction.codes, *(term.codes for term in instruction.terms)):
                    if place is not None:
                        pieces[place.index].append(_Piece(number, instruction))
    return pieces


def _band_pixels(shape: ops.Shape) -> int:
    """Pixels of a band of so many channels, an even number."""
    channels = shape[0]
    return max(_MIN_BAND, BAND_BYTES // (channels * LANES * 4) * 2)


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
