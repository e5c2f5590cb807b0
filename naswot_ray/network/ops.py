"""The plain operations that a `Network` is made of: their shapes, parameters and FLOPs.

Shapes are per image: `(channels, height, width)`, or `(features,)` after a global average pool. An operation says what is
computed, not how; the engines in `naswot_ray.engines` compute it.

FLOPs are counted as the benchmarks count them (NATS-Bench, `nats_bench` field `flops`): multiply-accumulates of convolutions
and linear layers, plus one for each bias addition. Batch norms, pools and additions count nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

Shape = tuple[int, ...]
Pair = tuple[int, int]
"""A value for the height and one for the width."""


@dataclass(frozen=True, slots=True)
class Input:
    """The batch of images."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Conv:
    """2-D convolution without bias. `layer` numbers the layers with weights in order of execution; it keys the weights."""

    layer: int
    in_channels: int
    out_channels: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: int = 1
    groups: int = 1

    @property
    def weight_shape(self) -> Shape:
        """`(out_channels, in_channels / groups, *kernel)`."""
        return (self.out_channels, self.in_channels // self.groups, *self.kernel)


@dataclass(frozen=True, slots=True)
class Linear:
    """Fully connected layer with bias."""

    layer: int
    in_features: int
    out_features: int

    @property
    def weight_shape(self) -> Shape:
        """`(out_features, in_features)`."""
        return (self.out_features, self.in_features)


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Batch normalisation by the statistics of the batch, with weight 1, bias 0 and eps 1e-5. A zero input stays zero."""


@dataclass(frozen=True, slots=True)
class Relu:
    """max(0, x). `multiplicity` is how often the published code counts it (2 inside a ReLU-Conv-BN block)."""

    multiplicity: int = 1


@dataclass(frozen=True, slots=True)
class AvgPool:
    """Average over a window, without the padding (count_include_pad=False)."""

    kernel: int
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True, slots=True)
class MaxPool:
    """Maximum over a window."""

    kernel: int
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True, slots=True)
class GlobalAvgPool:
    """Mean over height and width: `(c, h, w) -> (c,)`."""


@dataclass(frozen=True, slots=True)
class Add:
    """Sum of the inputs, added from left to right (floating-point addition is not associative)."""


@dataclass(frozen=True, slots=True)
class Concat:
    """Concatenation along the channels."""


@dataclass(frozen=True, slots=True)
class Truncate:
    """The first `channels` channels of the input."""

    channels: int


@dataclass(frozen=True, slots=True)
class Shift:
    """The input moved up and to the left by one pixel; zeros fill the bottom row and the right column."""


@dataclass(frozen=True, slots=True)
class Zero:
    """Every `stride`-th pixel of the input, times 0. It is zero everywhere but depends on its input in the autograd graph."""

    stride: int = 1


Op = Input | Conv | Linear | BatchNorm | Relu | AvgPool | MaxPool | GlobalAvgPool | Add | Concat | Truncate | Shift | Zero
Weighted = Conv | Linear


def output_shape(op: Op, inputs: tuple[Shape, ...]) -> Shape:
    """The shape of an operation's result.

    Raises:
        ValueError: the inputs do not fit the operation, or do not fit each other.
    """
    match op:
        case Input():
            return op.shape
        case Conv():
            channels, height, width = _image(op, inputs)
            if channels != op.in_channels or channels % op.groups or op.out_channels % op.groups:
                raise ValueError(f"{op} does not fit an input of {channels} channels")
            reaches = (op.dilation * (kernel - 1) + 1 for kernel in op.kernel)
            sizes = zip((height, width), reaches, op.stride, op.padding, strict=True)
            return (op.out_channels, *(_windows(op, *size) for size in sizes))
        case AvgPool() | MaxPool():
            channels, height, width = _image(op, inputs)
            if 2 * op.padding > op.kernel:
                raise ValueError(f"{op}: padding exceeds half of the kernel")
            return (channels, *(_windows(op, s, op.kernel, op.stride, op.padding) for s in (height, width)))
        case Shift():
            return _image(op, inputs)
        case Zero():
            channels, height, width = _image(op, inputs)
            return (channels, -(-height // op.stride), -(-width // op.stride))
        case GlobalAvgPool():
            return _image(op, inputs)[:1]
        case Linear():
            if inputs[0] != (op.in_features,):
                raise ValueError(f"{op} does not fit an input of shape {inputs[0]}")
            return (op.out_features,)
        case Add():
            if not inputs or any(shape != inputs[0] for shape in inputs):
                raise ValueError(f"cannot add shapes {inputs}")
            return inputs[0]
        case Concat():
            if not inputs or any(shape[1:] != inputs[0][1:] for shape in inputs):
                raise ValueError(f"cannot concatenate shapes {inputs}")
            return (sum(shape[0] for shape in inputs), *inputs[0][1:])
        case Truncate():
            if not 1 <= op.channels <= inputs[0][0]:
                raise ValueError(f"cannot keep {op.channels} of {inputs[0][0]} channels")
            return (op.channels, *inputs[0][1:])
        case BatchNorm() | Relu():
            return inputs[0]


def params(op: Op, shape: Shape) -> int:
    """Trainable parameters of an operation whose result has `shape`."""
    match op:
        case Conv():
            return prod(op.weight_shape)
        case Linear():
            return prod(op.weight_shape) + op.out_features
        case BatchNorm():
            return 2 * shape[0]
        case _:
            return 0


def flops(op: Op, shape: Shape) -> int:
    """FLOPs per image of an operation whose result has `shape` (multiply-accumulates; see the module's docstring)."""
    match op:
        case Conv():
            return prod(op.weight_shape) * shape[1] * shape[2]
        case Linear():
            return prod(op.weight_shape) + op.out_features
        case _:
            return 0


def keeps_zero(op: Op) -> bool:
    """Whether the operation maps all-zero inputs to an all-zero result."""
    match op:
        case Input() | Linear():
            return False
        case _:
            return True


def _image(op: Op, inputs: tuple[Shape, ...]) -> Shape:
    if len(inputs) != 1 or len(inputs[0]) != 3:
        raise ValueError(f"{op} takes one input of shape (channels, height, width), got {inputs}")
    return inputs[0]


def _windows(op: Op, size: int, reach: int, stride: int, padding: int) -> int:
    if reach < 1 or stride < 1 or padding < 0:
        raise ValueError(f"{op}: a kernel and its stride have at least 1 pixel, a padding at least 0")
    positions = (size + 2 * padding - reach) // stride + 1
    if positions < 1:
        raise ValueError(f"{op} does not fit an input {size} pixels wide")
    return positions
