"""A plan compiled into few passes over memory: the program that the engines `fast` and `cuda` execute.

Batch normalisation divides a network into **phases**. The statistics of a channel are known only after its last image, so an
operation that reads a normalised tensor has to wait for the whole batch. All others can follow at once, while their input is
still in a cache. Within a phase, elementwise operations are merged into one pass:

- **Convolve** writes the raw result of a convolution, and the statistics of its channels if a batch normalisation follows.
- **Combine** reads any number of tensors, normalises and rectifies each if needed, and adds them up. It writes the sum, the
  rectified sum, and the codes of any of these. Normalised tensors are never stored for their own sake.
- **Pool** and **Shift** do what the operations of these names do.

Concatenation and truncation need no pass of their own, because a combination can read from and write to any channels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from naswot_ray.network import ops
from naswot_ray.network.plan import Codes, Plan, Step


@dataclass(slots=True)
class Tensor:
    """A tensor of the batch that is stored in memory.

    Attributes:
        shape: `(channels, height, width)` of one image.
        padding: how many rows and columns of zeros its readers need on each side.
        normalised: whether its readers need the mean and the variance of each channel over the batch.
        first, last: the phases in which it is first written and last read.
        ready: the phase in which it is complete.
    """

    shape: ops.Shape
    padding: int = 0
    normalised: bool = False
    first: int = -1
    last: int = -1
    ready: int = -1


@dataclass(frozen=True, slots=True)
class View:
    """Consecutive channels of a tensor."""

    tensor: int
    offset: int
    channels: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where channels are written: from channel `offset` on of tensor, or of entry of `Program.codes`, number `index`.

    Attributes:
        positive: of codes, whether the ReLU reads the positive part of the value. That has the codes of the value itself.
    """

    index: int
    offset: int = 0
    positive: bool = False


@dataclass(slots=True)
class Term:
    """A summand: a view, normalised and then rectified if its flags say so. `codes` are taken before it is rectified."""

    view: View
    normalised: bool = False
    rectified: bool = False
    codes: Place | None = None


@dataclass(slots=True)
class Convolve:
    """A convolution of the channels of a view."""

    op: ops.Conv
    input: View
    output: int


@dataclass(slots=True)
class Pool:
    """An average or max pool of the channels of a view."""

    op: ops.AvgPool | ops.MaxPool
    input: View
    output: int


@dataclass(slots=True)
class Shift:
    """A move of the channels of a view, up and to the left by one pixel."""

    input: View
    output: int


@dataclass(slots=True)
class Combine:
    """The sum of terms of the same shape. Without terms it is zero.

    Attributes:
        total, rectified: where the sum and its positive part are stored; None if they are not.
        codes: where the codes of the sum are written; None if no ReLU reads it.
    """

    shape: ops.Shape
    terms: list[Term]
    total: Place | None = None
    rectified: Place | None = None
    codes: Place | None = None


Instruction = Convolve | Pool | Shift | Combine


@dataclass(frozen=True, slots=True)
class Program:
    """Instructions by phase, in order of execution within each. Tensor 0 is the batch of images; it exists from the start."""

    tensors: tuple[Tensor, ...]
    phases: tuple[tuple[Instruction, ...], ...]
    codes: tuple[Codes, ...]


def make_program(plan: Plan) -> Program:
    """Compile a plan into a program.

    Raises:
        ValueError: a ReLU behind a linear layer (no weight source gives its biases), or behind a global pool of an image that
            is not square.
    """
    return _Compiler(plan).compile()


_Summand = tuple[int, int, bool, bool]
"""(tensor, first channel, normalised, rectified)."""

_Piece = tuple[int, tuple[_Summand, ...]]
"""A number of channels, and the summands that add up to them."""

_Value = tuple[_Piece, ...]
"""The pieces that the channels of a node consist of. A value is stored only if an instruction needs it in memory."""


@dataclass
class _Compiler:
    plan: Plan
    tensors: list[Tensor] = field(default_factory=list)
    phases: defaultdict[int, list[Instruction]] = field(default_factory=lambda: defaultdict(list))
    shapes: dict[int, ops.Shape] = field(default_factory=dict)
    values: dict[int, _Value] = field(default_factory=dict)
    stored: dict[int, View] = field(default_factory=dict)
    combines: dict[int, list[tuple[int, Combine]]] = field(default_factory=dict)
    """Node -> the combinations that compute its value: one for each piece, with the phase in which it runs."""
    read_by_relu: dict[int, int] = field(default_factory=dict)
    """Node of a ReLU -> the node that it reads."""

    def compile(self) -> Program:
        num_readers: defaultdict[int, int] = defaultdict(int)
        for step in self.plan.steps:
            # Behind a global pool an image has one pixel.
            self.shapes[step.node] = step.shape if len(step.shape) == 3 else (*step.shape, 1, 1)
            for node in step.inputs:
                num_readers[node] += 1
        for step in self.plan.steps:
            self._visit(step)
            if num_readers[step.node] > 1 and _has_sums(self.values[step.node]):
                self._store(step.node)
        self._place_codes()
        num_phases = max(self.phases, default=-1) + 1
        return Program(tuple(self.tensors), tuple(tuple(self.phases[p]) for p in range(num_phases)), self.plan.codes)

    def _visit(self, step: Step) -> None:
        node, op, shape = step.node, step.op, self.shapes[step.node]
        match op:
            case ops.Input():
                images = self._new_tensor(shape)
                self._wrote(images, 0)
                self._set_stored(node, images)
            case ops.Conv():
                view = self._store(step.inputs[0])
                self.tensors[view.tensor].padding = max(self.tensors[view.tensor].padding, *op.padding)
                self._run(node, Convolve(op, view, self._new_tensor(shape)))
            case ops.AvgPool() | ops.MaxPool():
                self._run(node, Pool(op, self._store(step.inputs[0]), self._new_tensor(shape)))
            case ops.GlobalAvgPool():
                view = self._store(step.inputs[0])
                size, width = self.tensors[view.tensor].shape[1:]
                if size != width:
                    raise ValueError(f"a ReLU behind a global pool of {size}x{width} pixels: expected as many rows as columns")
                self._run(node, Pool(ops.AvgPool(size, size), view, self._new_tensor(shape)))
            case ops.Shift():
                self._run(node, Shift(self._store(step.inputs[0]), self._new_tensor(shape)))
            case ops.BatchNorm():
                self._normalise(node, step.inputs[0])
            case ops.Relu():
                self._rectify(node, step.inputs[0])
            case ops.Truncate():
                self.values[node] = _first_channels(self.values[step.inputs[0]], op.channels)
            case ops.Concat():
                self.values[node] = tuple(piece for i in step.inputs for piece in self.values[i])
            case ops.Add():
                self.values[node] = _sum_of([self.values[i] for i in step.inputs])
            case ops.Zero():
                self.values[node] = ((shape[0], ()),)
            case ops.Linear():
                raise ValueError("a ReLU behind a linear layer: no weight source gives biases, as no space has such a layer")

    def _normalise(self, node: int, source: int) -> None:
        # Each channel is normalised by itself, so the pieces of a concatenation can stay where they lie.
        if not all(len(summands) == 1 and summands[0][2:] == (False, False) for _, summands in self.values[source]):
            self._store(source)
            view = self.stored[source]
            self.values[source] = ((view.channels, ((view.tensor, view.offset, False, False),)),)
        pieces = []
        for channels, ((tensor, offset, _, _),) in self.values[source]:
            self.tensors[tensor].normalised = True
            pieces.append((channels, ((tensor, offset, True, False),)))
        self.values[node] = tuple(pieces)

    def _rectify(self, node: int, source: int) -> None:
        self.read_by_relu[node] = source
        if _has_sums(self.values[source]):
            self._combine(source)
            self._store(node)
        else:
            self.values[node] = tuple(
                (channels, tuple((tensor, offset, normalised, True) for tensor, offset, normalised, _ in summands))
                for channels, summands in self.values[source]
            )

    # Storing values.

    def _store(self, node: int) -> View:
        """The view that holds the value of a node. Stores the value if it is not stored yet."""
        if node in self.stored:
            return self.stored[node]
        view = _as_view(self.values.get(node))
        if view is None:
            shape = self.shapes[node]
            tensor = self._new_tensor(shape)
            # The combinations that compute the input of a ReLU can store its output.
            read = self.combines.get(self.read_by_relu.get(node, -1))
            rectifies = read is not None
            offset = 0
            for phase, combine in read or self._combine(node):
                if rectifies:
                    combine.rectified = Place(tensor, offset)
                else:
                    combine.total = Place(tensor, offset)
                self._wrote(tensor, phase)
                offset += combine.shape[0]
            view = View(tensor, 0, shape[0])
        self.stored[node] = view
        if node not in self.values or _has_sums(self.values[node]):
            self._set_value(node, view)
        return view

    def _set_stored(self, node: int, tensor: int) -> None:
        self.stored[node] = View(tensor, 0, self.shapes[node][0])
        self._set_value(node, self.stored[node])

    def _set_value(self, node: int, view: View) -> None:
        self.values[node] = ((view.channels, ((view.tensor, view.offset, False, False),)),)

    def _combine(self, node: int) -> list[tuple[int, Combine]]:
        """The combinations that compute the value of a node, one for each piece."""
        if node not in self.combines:
            rest = self.shapes[node][1:]
            found = self.combines[node] = []
            for channels, summands in self.values[node]:
                terms = [Term(View(tensor, offset, channels), n, r) for tensor, offset, n, r in summands]
                combine = Combine((channels, *rest), terms)
                found.append((self._append_combine(combine), combine))
        return self.combines[node]

    def _append_combine(self, combine: Combine) -> int:
        terms = combine.terms
        phase = max((self.tensors[t.view.tensor].ready + t.normalised for t in terms), default=0)
        for term in terms:
            self._reads(term.view, phase)
        self.phases[phase].append(combine)
        return phase

    def _run(self, node: int, instruction: Convolve | Pool | Shift) -> None:
        phase = self.tensors[instruction.input.tensor].ready
        self._reads(instruction.input, phase)
        self._wrote(instruction.output, phase)
        self.phases[phase].append(instruction)
        self._set_stored(node, instruction.output)

    def _new_tensor(self, shape: ops.Shape) -> int:
        self.tensors.append(Tensor(shape))
        return len(self.tensors) - 1

    def _reads(self, view: View, phase: int) -> None:
        tensor = self.tensors[view.tensor]
        tensor.last = max(tensor.last, phase)

    def _wrote(self, number: int, phase: int) -> None:
        tensor = self.tensors[number]
        tensor.first = phase if tensor.first < 0 else min(tensor.first, phase)
        tensor.ready = max(tensor.ready, phase)
        tensor.last = max(tensor.last, phase)

    # Codes.

    def _place_codes(self) -> None:
        """Let a pass that reads the value of a code anyway write the code; add a pass if there is none."""
        takers: defaultdict[tuple[View, bool], list[Term]] = defaultdict(list)
        for phase in sorted(self.phases):
            for instruction in self.phases[phase]:
                if isinstance(instruction, Combine):
                    for term in instruction.terms:
                        takers[term.view, term.normalised].append(term)
        for index, codes in enumerate(self.plan.codes):
            node = codes.node
            if node is None:
                continue
            if _has_sums(self.values[node]):
                self._combine(node)
            offset = 0
            if node in self.combines:
                for _, combine in self.combines[node]:
                    combine.codes = Place(index, offset)
                    offset += combine.shape[0]
                continue
            for channels, summands in self.values[node]:
                place = Place(index, offset, any(rectified for *_, rectified in summands))
                offset += channels
                terms = [Term(View(tensor, at, channels), n, r) for tensor, at, n, r in summands]
                # A ReLU that reads what another one has rectified: the signs are those from before, the values are not.
                plain = [term for term in terms if not term.rectified]
                free = [t for term in plain for t in takers[term.view, term.normalised] if t.codes is None]
                if free:
                    free[0].codes = place
                else:
                    self._append_combine(Combine((channels, *self.shapes[node][1:]), terms, codes=place))


def _has_sums(value: _Value) -> bool:
    return any(len(summands) > 1 for _, summands in value)


def _as_view(value: _Value | None) -> View | None:
    """The view that equals a value; None if it consists of several pieces or is not stored as it is."""
    if value is not None and len(value) == 1:
        channels, summands = value[0]
        if len(summands) == 1 and summands[0][2:] == (False, False):
            return View(summands[0][0], summands[0][1], channels)
    return None


def _first_channels(value: _Value, channels: int) -> _Value:
    pieces: list[_Piece] = []
    for available, summands in value:
        if channels > 0:
            pieces.append((min(available, channels), summands))
            channels -= available
    return tuple(pieces)


def _sum_of(values: Sequence[_Value]) -> _Value:
    """The sum of values with the same number of channels. A piece of the sum ends wherever a piece of any value ends."""
    if all(len(value) == 1 for value in values):
        return ((values[0][0][0], tuple(summand for value in values for summand in value[0][1])),)
    ends = set()
    for value in values:
        end = 0
        for channels, _ in value:
            end += channels
            ends.add(end)
    pieces: list[_Piece] = []
    start = 0
    for end in sorted(ends):
        summands = tuple(summand for value in values for summand in _summands_at(value, start))
        pieces.append((end - start, summands))
        start = end
    return tuple(pieces)


def _summands_at(value: _Value, channel: int) -> tuple[_Summand, ...]:
    for channels, summands in value:
        if channel < channels:
            return tuple((tensor, offset + channel, n, r) for tensor, offset, n, r in summands)
        channel -= channels
    raise AssertionError("values of different numbers of channels")
