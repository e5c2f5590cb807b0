"""Turns one network's program into rows of job tables: decides where everything lies, and in which step it runs.

Steps are `(stage, level)` and run in ascending order. A stage is an image size. Within a stage, combinations run at even levels
and everything else at odd ones. So architectures of one space stay in step even if their cells differ: all of them finish their
large images before any starts on smaller ones, and a launch holds as many jobs as possible.

All offsets are relative and count elements. A row depends only on its network, the number of images and the wanted statistics.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import prod

import numpy as np

from naswot_ray.engines.cuda.tables import (
    IMAGES,
    KEY_COLUMNS,
    NONE,
    WORDS_PER_JOB,
    IntArray,
    Kind,
    Layer,
    Lowered,
    Stack,
    align,
    channel_blocks,
    code_words,
    is_aligned,
    power_of_two,
)
from naswot_ray.engines.cuda.values import Value, store_values
from naswot_ray.measures.statistics import Statistic
from naswot_ray.network import Network, ops
from naswot_ray.network.program import Combine, Convolve, Pool, Shift, Term, View


def lower(network: Network, num_images: int, wanted: Collection[Statistic] = ()) -> Lowered:
    """Lower a network for batches of `num_images`.

    Args:
        network: the architecture.
        num_images: n.
        wanted: statistics to compute besides the codes and the kernels of the whole network.

    Raises:
        ValueError: the network has a ReLU that no program can compute (`Network.program`), or a tensor is too large for the
            kernels' 32-bit offsets.
    """
    return _Lowering(network, num_images, wanted).lower()


Step = tuple[int, int]


class _Lowering:
    def __init__(self, network: Network, num_images: int, wanted: Collection[Statistic]) -> None:
        self.network, self.program, self.n, self.wanted = network, network.program, num_images, wanted
        self.values: dict[int, Value] = {}
        """Maps an index of codes to where the tensor's values are, if values are wanted."""
        if Statistic.COVARIANCE_SPECTRA in wanted or Statistic.SMALLEST_CORRELATIONS in wanted:
            self.program, self.values = store_values(self.program)
        tensors = self.program.tensors
        largest = num_images * max((prod(tensor.shape) for tensor in tensors), default=0)
        if largest >= 2**31:
            raise ValueError(f"a tensor of {largest:,} elements; the kernels count to 2,147,483,647, so take a smaller batch")
        self.complete: list[Step] = [(-prod(t.shape[1:]), -1) for t in tensors]
        self.first: list[Step | None] = [None] * len(tensors)
        self.last: list[Step | None] = [None] * len(tensors)
        self.measured: list[Step | None] = [None] * len(tensors)
        centred = {value.view.tensor for value in self.values.values()} if Statistic.COVARIANCE_SPECTRA in wanted else set()
        self.stats, num_stats = [NONE] * len(tensors), 0
        for number, tensor in enumerate(tensors):
            if tensor.normalised or number in centred:
                self.stats[number] = num_stats
                num_stats += 2 * tensor.shape[0]
        self.num_stats = num_stats
        self.rows: defaultdict[Kind, list[list[int]]] = defaultdict(list)
        self.arena_cells: list[tuple[list[int], int, int]] = []
        """Cells (row, column, tensor) that hold an offset within a tensor; the tensor's place is added once it is known."""
        self.terms: list[list[int]] = []
        self.words: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.words_cells: list[tuple[list[int], int, tuple[int, int]]] = []
        coded = [index for index, codes in enumerate(self.program.codes) if codes.node is not None]
        self.tensor_of = {index: number for number, index in enumerate(coded)}
        self.pieces: list[tuple[int, tuple[int, int], int, int]] = []
        """Words of coded tensors, as (number of the tensor, `counted`, first word, number of words)."""
        self.layers: list[Layer] = []
        self.num_weights = 0

    def lower(self) -> Lowered:
        for phase in self.program.phases:
            for instruction in phase:
                match instruction:
                    case Convolve():
                        self._convolve(instruction)
                    case Pool() | Shift():
                        self._pool(instruction)
                    case Combine():
                        self._combine(instruction)
        covariances = self._covariances() if Statistic.COVARIANCE_SPECTRA in self.wanted else ()
        firsts = self._first_images() if Statistic.SMALLEST_CORRELATIONS in self.wanted else ()
        arena = self._place_tensors()
        words, grams = self._place_words()
        sizes = {"arena": arena, "stats": self.num_stats, "weights": self.num_weights, "words": words}
        sizes |= {"covariances": _end(covariances), "firsts": _end(firsts)}
        return Lowered(
            jobs={kind: np.array(rows, np.int64) for kind, rows in self.rows.items()},
            terms=np.array(self.terms, np.int64),
            grams=grams,
            layers=tuple(self.layers),
            sizes=sizes,
            num_units=(self.network.num_units, self.network.num_units_paper),
            codes=self.program.codes,
            covariances=covariances,
            firsts=firsts,
        )

    # Steps.

    def _step(self, shape: ops.Shape, after: list[Step], *, even: bool) -> Step:
        """The first step at which a tensor of a shape can be computed after the steps that it waits for."""
        stage = max([-prod(shape[1:]), *(stage for stage, _ in after)])
        level = 1 + max((level for s, level in after if s == stage), default=-1)
        return stage, level + (level % 2 if even else 1 - level % 2)

    def _read(self, view: View, step: Step) -> None:
        last = self.last[view.tensor]
        self.last[view.tensor] = step if last is None else max(last, step)

    def _write(self, tensor: int, step: Step) -> None:
        first = self.first[tensor]
        self.first[tensor] = step if first is None else min(first, step)
        self.complete[tensor] = max(self.complete[tensor], step)
        self._read(View(tensor, 0, 0), step)

    def _statistics_of(self, tensor: int) -> Step:
        """The step at which a tensor's statistics are computed. If no convolution wrote it, this adds a job for them."""
        found = self.measured[tensor]
        if found is None:
            shape = self.program.tensors[tensor].shape
            found = self.measured[tensor] = self._step(shape, [self.complete[tensor]], even=False)
            block, blocks = channel_blocks(shape[0])
            row = [*found, block, blocks, prod(shape[1:]), 0, shape[0], self.stats[tensor], 0, shape[0]]
            self._cell(row, KEY_COLUMNS + 2, tensor)
            self.rows[Kind.MEASURE].append(row)
            self._read(View(tensor, 0, 0), found)
        return found

    def _cell(self, row: list[int], column: int, tensor: int) -> None:
        self.arena_cells.append((row, column, tensor))

    # Instructions.

    def _convolve(self, instruction: Convolve) -> None:
        op, view, tensors = instruction.op, instruction.input, self.program.tensors
        shape, (in_width, height, width) = tensors[instruction.output].shape, tensors[view.tensor].shape
        step = self._step(shape, [self.complete[view.tensor]], even=False)
        self._read(view, step)
        self._write(instruction.output, step)
        self.measured[instruction.output] = step
        taps = prod(op.kernel)
        aligned = is_aligned(view.offset, in_width, op.in_channels, shape[0])
        if op.groups == 1:
            kind = Kind.CONVOLVE
            block_n = min(128, max(16, power_of_two(shape[0])))
            flat = op.in_channels < 16
            block_k = 16 if op.in_channels <= 16 else 32
            shared = [block_n, -(-shape[0] // block_n), prod(shape[1:]), 4 * block_k + 2 * flat + aligned]
        else:
            kind = Kind.CONVOLVE_GROUPS
            shared = [*channel_blocks(shape[0], most=32), prod(shape[1:]), aligned]
        stats = self.stats[instruction.output]
        row = [*step, *shared, shape[0], stats, view.offset, in_width, self.num_weights, 0, op.in_channels, height, width]
        row += [*shape[1:], op.kernel[1], taps, *op.stride, *op.padding, op.dilation, op.groups]
        self._cell(row, KEY_COLUMNS + 2, view.tensor)
        self._cell(row, KEY_COLUMNS + 5, instruction.output)
        self.rows[kind].append(row)
        self.layers.append(Layer(op, self.num_weights))
        self.num_weights += align(prod(op.weight_shape))

    def _pool(self, instruction: Pool | Shift) -> None:
        view, tensors = instruction.input, self.program.tensors
        shape, (in_width, height, width) = tensors[instruction.output].shape, tensors[view.tensor].shape
        step = self._step(shape, [self.complete[view.tensor]], even=False)
        self._read(view, step)
        self._write(instruction.output, step)
        if isinstance(instruction, Pool):
            op = instruction.op
            window = [op.kernel, op.stride, op.padding, int(isinstance(op, ops.MaxPool))]
        else:
            window = [1, 1, -1, 0]
        aligned = is_aligned(view.offset, in_width, shape[0])
        row = [*step, *channel_blocks(shape[0]), prod(shape[1:]), aligned, view.offset, in_width, 0, shape[0], height, width]
        row += [*shape[1:], *window]
        self._cell(row, KEY_COLUMNS + 0, view.tensor)
        self._cell(row, KEY_COLUMNS + 2, instruction.output)
        self.rows[Kind.POOL].append(row)

    def _combine(self, instruction: Combine) -> None:
        shape, tensors, places = instruction.shape, self.program.tensors, (instruction.total, instruction.rectified)
        after = [self.complete[term.view.tensor] for term in instruction.terms]
        after += [self._statistics_of(term.view.tensor) for term in instruction.terms if term.normalised]
        step = self._step(shape, after, even=True)
        block, blocks = channel_blocks(shape[0])
        aligned = is_aligned(
            shape[0],
            *(number for term in instruction.terms for number in (term.view.offset, tensors[term.view.tensor].shape[0])),
            *(number for place in places if place is not None for number in (place.offset, tensors[place.index].shape[0])),
        )
        num_terms = len(instruction.terms)
        row = [*step, block, blocks, prod(shape[1:]), aligned, len(self.terms), len(self.terms) + num_terms, shape[0]]
        for place in places:
            if place is None:
                row += [NONE, 0]
            else:
                self._cell(row, len(row), place.index)
                row += [place.offset, tensors[place.index].shape[0]]
                self._write(place.index, step)
        words = code_words(shape)
        self._codes(row, None if instruction.codes is None else instruction.codes.index, words)
        for term in instruction.terms:
            self._term(term, step, words)
        self.rows[Kind.COMBINE].append(row)

    def _term(self, term: Term, step: Step, words: int) -> None:
        view, width = term.view, self.program.tensors[term.view.tensor].shape[0]
        self._read(view, step)
        stats = self.stats[view.tensor] + view.offset if term.normalised else NONE
        row = [view.offset, width, stats, stats + width if term.normalised else NONE, int(term.rectified)]
        self._cell(row, 0, view.tensor)
        self._codes(row, None if term.codes is None else term.codes.index, words)
        self.terms.append(row)

    def _codes(self, row: list[int], index: int | None, words: int) -> None:
        """Append the place of codes and their number of words per image.

        Codes with equal multiplicities lie side by side and form one code of all their units.
        """
        if index is None:
            row += [NONE, 0]
            return
        codes = self.program.codes[index]
        counted = (codes.multiplicity, codes.num_relus)
        self.words_cells.append((row, len(row), counted))
        self.pieces.append((self.tensor_of[index], counted, self.words[counted], words))
        row += [self.words[counted], 0]
        self.words[counted] += words

    # Values.

    def _covariances(self) -> tuple[Stack, ...]:
        """Add the jobs that multiply channels by each other."""
        stacks = _stacks({self.tensor_of[i]: (value.view.channels, value.view.channels) for i, value in self.values.items()})
        places = _places(stacks)
        for index, value in self.values.items():
            view = value.view
            width, *image = self.program.tensors[view.tensor].shape
            step = self._step((width, *image), [self._statistics_of(view.tensor)], even=False)
            block = min(64, max(16, power_of_two(view.channels)))
            means = self.stats[view.tensor] + view.offset
            row = [*step, block, -(-view.channels // block), prod(image), 0, view.channels, means]
            row += [means + width if value.normalised else NONE, view.offset, width, places[self.tensor_of[index]]]
            self._cell(row, KEY_COLUMNS + 3, view.tensor)
            self._read(view, step)
            self.rows[Kind.COVARIANCE].append(row)
        return stacks

    def _first_images(self) -> tuple[Stack, ...]:
        """Add the jobs that copy the first image's values.

        A tensor with no more pixels than channels needs none: once their means are subtracted, its channels are linearly
        dependent, and the smallest eigenvalue of their correlation is 0. Correlations do not depend on scales, so raw values
        are as good as normalised ones.
        """
        shapes = {}
        for index, value in self.values.items():
            pixels = prod(self.program.tensors[value.view.tensor].shape[1:])
            if pixels > value.view.channels:
                shapes[self.tensor_of[index]] = (pixels, value.view.channels)
        stacks = _stacks(shapes)
        places = _places(stacks)
        for index, value in self.values.items():
            if self.tensor_of[index] in places:
                view = value.view
                width, *image = self.program.tensors[view.tensor].shape
                step = self._step((width, *image), [self.complete[view.tensor]], even=False)
                row = [*step, *channel_blocks(view.channels), prod(image), 0, view.channels]
                row += [view.offset, width, places[self.tensor_of[index]]]
                self._cell(row, KEY_COLUMNS + 1, view.tensor)
                self._read(view, step)
                self.rows[Kind.FIRST_IMAGE].append(row)
        return stacks

    # Places.

    def _place_tensors(self) -> int:
        """Give each tensor a place, and return the number of elements that all need together.

        Tensors that are not in use at the same time may share a place.
        """
        places = [NONE] * len(self.first)
        live: list[tuple[int, int, Step]] = []  # place, end, last use; sorted by place
        used = 0
        order = sorted((first, number) for number, first in enumerate(self.first) if first is not None and number)
        for first, number in order:
            live = [entry for entry in live if entry[2] >= first]
            size = align(self.n * prod(self.program.tensors[number].shape))
            place = at = 0
            for at, (start, end, _) in enumerate(live):  # noqa: B007
                if start - place >= size:
                    break
                place = end
            else:
                at = len(live)
            last = self.last[number]
            assert last is not None
            live.insert(at, (place, place + size, last))
            places[number] = place
            used = max(used, place + size)
        for row, column, tensor in self.arena_cells:
            if tensor == 0:
                assert row[column] == 0, "the images are read from their first channel on"
                row[column] = IMAGES
            else:
                row[column] += places[tensor]
        return used

    def _place_words(self) -> tuple[int, IntArray]:
        starts: dict[tuple[int, int], int] = {}
        used = 0
        for counted, words in self.words.items():
            starts[counted] = used
            used += align(self.n * words)
        for row, column, counted in self.words_cells:
            row[column] += starts[counted]
            row[column + 1] = self.words[counted]
        pieces = [(0, counted, 0, words) for counted, words in self.words.items()]  # the tensor does not matter
        if Statistic.TENSOR_LOG_DETS in self.wanted:
            pieces = self.pieces
        grams = [
            [starts[counted] + at, self.words[counted], min(WORDS_PER_JOB, first + words - at), 0, *counted, number]
            for number, counted, first, words in pieces
            for at in range(first, first + words, WORDS_PER_JOB)
        ]
        return used, np.array(grams, np.int64)


def _stacks(shapes: Mapping[int, tuple[int, int]]) -> tuple[Stack, ...]:
    """Stack arrays of equal shapes. `shapes` maps the number of a tensor to the shape of its array."""
    tensors: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for number, shape in shapes.items():
        tensors[shape].append(number)
    stacks: list[Stack] = []
    for shape, numbers in sorted(tensors.items()):
        stacks.append(Stack(_end(stacks), shape, tuple(numbers)))
    return tuple(stacks)


def _end(stacks: Sequence[Stack]) -> int:
    return stacks[-1].end if stacks else 0


def _places(stacks: Iterable[Stack]) -> dict[int, int]:
    """Number of a tensor -> the place of its array."""
    return {
        number: stack.place + position * prod(stack.shape) for stack in stacks for position, number in enumerate(stack.tensors)
    }
