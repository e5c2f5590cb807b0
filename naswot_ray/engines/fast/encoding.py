"""Encodes a program as the numbers that kernels.cpp executes, and lays out the memory that it needs.

Memory is laid out before anything runs, so the exact size that a network takes is known in advance.
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
"""Images in a block (lanes.h)."""

BAND_BYTES: Final = 2**17
"""Size of a band: the values whose products are summed up together. They should fit into the first two levels of cache."""

PRECISE_VALUES: Final = 1024
"""A channel with fewer values than this keeps them in single precision (pairs.h): the errors of rounding so few do not average
out."""

_MIN_BAND: Final = 64
"""The least number of pixels in a band, if the image has that many. Adding the sums of a band to the total takes time, which a
longer band spreads over more pixels."""

_CONVOLVE, _AVERAGE_POOL, _MAXIMUM_POOL, _SHIFT, _COMBINE = range(5)


@dataclass(frozen=True)
class Encoded:
    """What kernels.cpp is called with.

    Attributes:
        words: the encoded program, shape (length,), int64.
        layers: the convolutions whose weights are laid end to end, each flat, in this order.
        num_weights: number of weights of all layers (4 bytes each).
        image_padding: width of the zeros around the images, in pixels.
        num_floats, num_masks: elements of the memory for tensors (4 bytes each) and for codes (2 bytes each).
        num_values: elements of the memory for values of tensors that ReLUs read (4 bytes each).
        tensors: those tensors, in the order of the codes.
        num_covariances, num_correlations: elements of the lower triangles of all covariances and correlations (8 bytes each).
        num_kernel_entries: elements of the tensors' own kernels, each of shape (n, n) (4 bytes each).
        num_patterns: number of sign patterns that may occur (1 byte each).
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
        """Memory of tensors, values, codes, weights and results."""
        return 4 * (self.num_floats + self.num_values) + 2 * self.num_masks + 8 * self.num_weights + self.num_bytes_found

    @property
    def num_bytes_found(self) -> int:
        """Of what is found."""
        triangles = self.num_covariances + self.num_correlations
        return 8 * triangles + 4 * self.num_kernel_entries + self.num_patterns


class CodedTensor(NamedTuple):
    """A tensor whose codes are computed.

    Attributes:
        channels, pixels: size of one image.
        correlated: whether its correlation is computed.
    """

    channels: int
    pixels: int
    correlated: bool


def encode(program: Program, n: int, wanted: Collection[Statistic], pair_floats: int) -> Encoded:
    """Lay out memory for a batch of n images, and encode the program.

    Args:
        program: program of the network.
        n: number of images.
        wanted: which statistics to compute.
        pair_floats: number of floats that the values of two pixels take for sixteen images each (pairs.h).
    """
    num_blocks = -(-n // LANES)
    tensors, num_floats, num_channels = _lay_out_tensors(program, num_blocks)
    pieces = _pieces(program)
    masks, num_masks = _lay_out_masks(program, pieces, num_blocks)
    covariance = Statistic.COVARIANCE_SPECTRA in wanted
    correlation = Statistic.SMALLEST_CORRELATIONS in wanted
    values = _lay_out_values(program, pieces, n, pair_floats, covariance=covariance, correlation=correlation)
    codes: list[int] = []
    number = 0  # counts the tensors whose codes are computed
    for i, one in enumerate(program.codes):
        codes += (masks.get(i, 0), one.num_units, one.multiplicity, one.num_relus, pieces[i][-1][0] if i in pieces else -1)
        codes += (number, *values.records.get(i, _NO_VALUES))
        number += i in pieces
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
                encoded = _encode(instruction, in_bands=covariance)
            words.append(len(encoded) + 1)
            words += encoded
        phases += [len(phase), len(words) + 2, *words]
    # A tensor without padding is read as one long row.
    longest_row = max(prod(tensor.shape[1:]) for tensor in program.tensors)
    head = [len(program.tensors), len(program.codes), len(program.phases), num_channels, longest_row, values.band_floats]
    return Encoded(
        words=np.array([*head, *tensors, *codes, *phases], np.int64),
        layers=tuple(layers),
        num_weights=num_weights,
        image_padding=program.tensors[0].padding,
        num_floats=num_floats,
        num_masks=num_masks,
        num_values=values.num_values,
        tensors=values.tensors,
        num_covariances=values.num_covariances,
        num_correlations=values.num_correlations,
        num_kernel_entries=len(pieces) * n * n if Statistic.TENSOR_LOG_DETS in wanted else 0,
        num_patterns=2**PATTERN_IMAGES if Statistic.PATTERNS in wanted else 0,
    )


def _convolve(instruction: Convolve) -> list[int]:
    op, source = instruction.op, instruction.input
    return [
        _CONVOLVE,
        *(source.tensor, source.offset, instruction.output),
        *(op.in_channels, op.out_channels, *op.kernel, *op.stride, *op.padding, op.dilation, op.groups),
    ]


def _encode(instruction: Pool | Shift | Combine, *, in_bands: bool) -> list[int]:
    match instruction:
        case Pool(op, source, output):
            opcode = _AVERAGE_POOL if isinstance(op, ops.AvgPool) else _MAXIMUM_POOL
            return [opcode, source.tensor, source.offset, output, op.kernel, op.stride, op.padding]
        case Shift(source, output):
            return [_SHIFT, source.tensor, source.offset, output]
        case Combine(shape, terms, total, rectified, codes):
            band = _band_pixels(shape) if in_bands else shape[1] * shape[2]
            words = [_COMBINE, *shape, *_place(total), *_place(rectified), *_place(codes), band, len(terms)]
            for term in terms:
                flags = term.normalised + 2 * term.rectified + 4 * (term.codes is not None and term.codes.positive)
                words += (term.view.tensor, term.view.offset, flags, *_place(term.codes))
            return words


def _place(place: Place | None) -> tuple[int, int]:
    return (-1, 0) if place is None else (place.index, place.offset)


def _lay_out_tensors(program: Program, num_blocks: int) -> tuple[list[int], int, int]:
    """Lay out the tensors.

    A tensor that is read only in its own phase needs room for one block of images, and only from its first to its last use.

    Returns:
        the tensors' records, the number of floats, and the number of normalised channels.
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
            continue  # the images, in memory of the caller
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
    """Tensor -> number of the first instruction that uses it, and tensor -> number of the last one."""
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


_Pieces = dict[int, list[tuple[int, Combine]]]
"""Maps an index of codes to the combinations that write them, each with its phase, in order of execution."""


def _pieces(program: Program) -> _Pieces:
    pieces: defaultdict[int, list[tuple[int, Combine]]] = defaultdict(list)
    for number, phase in enumerate(program.phases):
        for instruction in phase:
            if isinstance(instruction, Combine):
                if instruction.codes is not None:
                    pieces[instruction.codes.index].append((number, instruction))
                for term in instruction.terms:
                    if term.codes is not None:
                        pieces[term.codes.index].append((number, instruction))
    return pieces


def _lay_out_masks(program: Program, pieces: _Pieces, num_blocks: int) -> tuple[dict[int, int], int]:
    """Lay out the masks: index of codes -> place, and the number of masks that all of them take."""
    intervals = [
        (found[0][0], found[-1][0], -(-program.codes[i].num_units // 64) * 64 * num_blocks, i) for i, found in pieces.items()
    ]
    places: dict[int, int] = {}
    return places, _place_all(intervals, places, 0)


@dataclass
class _Values:
    """The layout of values of tensors whose codes are computed. Names are those of `Encoded` and of program.h.

    Attributes:
        records: index of codes -> the last fields of their record: channels, pixels, precise, kept, kept_stride, kept_pairs,
            first, covariance, correlation.
    """

    records: dict[int, tuple[int, ...]]
    band_floats: int = 0
    num_values: int = 0
    tensors: tuple[CodedTensor, ...] = ()
    num_covariances: int = 0
    num_correlations: int = 0


_NO_VALUES: Final = (0, 0, 0, -1, 0, 0, -1, -1, -1)


def _lay_out_values(
    program: Program, pieces: _Pieces, n: int, pair_floats: int, *, covariance: bool, correlation: bool
) -> _Values:
    laid = _Values({})
    if not (covariance or correlation):
        return laid
    num_blocks = -(-n // LANES)

    def floats_of_pair(pixels: int) -> int:
        return 2 * LANES if n * pixels < PRECISE_VALUES else pair_floats

    tensors: dict[int, CodedTensor] = {}
    kept: list[tuple[int, int, int, int]] = []
    kept_strides: dict[int, tuple[int, int]] = {}  # floats from a block to the next, pairs from a channel to the next
    firsts: list[tuple[int, int, int, int]] = []
    for i in sorted(pieces):
        found = pieces[i]
        start, end = found[0][0], found[-1][0]
        _, height, width = found[0][1].shape
        pixels = height * width
        channels = program.codes[i].num_units // pixels
        # With no more pixels than channels the correlation is singular: subtracting the mean leaves a rank below the number of
        # pixels.
        tensors[i] = CodedTensor(channels, pixels, correlation and pixels > channels)
        if tensors[i].correlated:
            firsts.append((start, end, -(-pixels // LANES) * LANES * channels, i))
        if covariance and len(found) > 1:
            pairs = height * -(-width // 2)
            block = pairs * channels * floats_of_pair(pixels)
            # Pieces of one phase are all computed before the next block begins, so they need room for one block.
            kept.append((start, end, block if start == end else block * num_blocks, i))
            kept_strides[i] = (0 if start == end else block, pairs)
    combines = [combine for found in pieces.values() for _, combine in found] if covariance else []
    for shape in {combine.shape for combine in combines}:
        channels, height, width = shape
        # A band is some whole rows, or a part of all pixels in a row; no more than there are.
        pairs = min(max(_band_pixels(shape), width + 1), height * -(-width // 2))
        laid.band_floats = max(laid.band_floats, channels * pairs * floats_of_pair(height * width))
    num_bands = max((len(combine.terms) for combine in combines), default=0) + 1
    kept_places: dict[int, int] = {}
    first_places: dict[int, int] = {}
    laid.num_values = _place_all(kept, kept_places, laid.band_floats * num_bands)
    laid.num_values = _place_all(firsts, first_places, laid.num_values)
    for i, (channels, pixels, correlated) in tensors.items():
        stride, pairs = kept_strides.get(i, (0, 0))
        places = (kept_places.get(i, -1), stride, pairs, first_places.get(i, -1))
        laid.records[i] = (channels, pixels, n * pixels < PRECISE_VALUES, *places, laid.num_covariances, laid.num_correlations)
        triangle = channels * (channels + 1) // 2
        laid.num_covariances += triangle if covariance else 0
        laid.num_correlations += triangle if correlated else 0
    laid.tensors = tuple(tensors.values())
    return laid


def _band_pixels(shape: ops.Shape) -> int:
    """Number of pixels in a band of a tensor of this shape; always even."""
    channels = shape[0]
    return max(_MIN_BAND, BAND_BYTES // (channels * LANES * 4) * 2)


def _place_all(intervals: list[tuple[int, int, int, int]], offsets: dict[int, int], start: int) -> int:
    """Give each interval the lowest place from `start` on that is free from its first to its last use.

    Args:
        intervals: (first use, last use, size, key).
        offsets: receives key -> place.
        start: where the memory begins.

    Returns:
        where the memory ends.
    """
    end = start
    live: list[tuple[int, int, int]] = []  # place, end, last use
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
