"""Defines the job tables: what their rows mean, which rows share a launch, and how kernels divide shapes into blocks.

A row is a job. Its first `KEY_COLUMNS` columns are its step and the shape that all jobs of one launch share. The module of the
kernel explains the other columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import prod

import numpy as np
import numpy.typing as npt

from naswot_ray.network import ops
from naswot_ray.network.plan import Codes

IntArray = npt.NDArray[np.int64]

NONE = -1
"""Stands for a place that does not exist."""
IMAGES = -2
"""Stands for the batch of images, which all architectures share."""

STEP_COLUMNS = 2
SHAPE_COLUMNS = 4
KEY_COLUMNS = STEP_COLUMNS + SHAPE_COLUMNS
"""Columns at the head of each row: stage and level, then the shape that all jobs of one launch share."""

BLOCK_M = 128
"""Number of pixels in a convolution's tile."""
TILE = 2048
"""Number of elements in the tile of an elementwise kernel."""
WORDS_PER_JOB = 2048
"""Number of words that one Gram job handles; they hold 65,536 units."""
PRODUCT_ROWS = 32
"""Number of pixels whose channels are multiplied by each other at once. It is small enough for devices with little shared
memory."""
ROWS_PER_SPLIT = 8192
"""Number of rows (pixels of all images) whose products one program of a covariance adds up."""
ALIGNMENT = 64
"""Tensors begin at multiples of this many elements."""


class Kind(IntEnum):
    """The kinds of job, each with its own table, in the order in which they run within a step."""

    COMBINE = 0
    POOL = 1
    CONVOLVE = 2
    CONVOLVE_GROUPS = 3
    MEASURE = 4
    COVARIANCE = 5
    FIRST_IMAGE = 6


PLACES: dict[Kind, dict[str, tuple[int, ...]]] = {
    Kind.COMBINE: {"terms": (0, 1), "arena": (3, 5), "words": (7,)},
    Kind.POOL: {"arena": (0, 2)},
    Kind.CONVOLVE: {"stats": (1,), "arena": (2, 5), "weights": (4,)},
    Kind.CONVOLVE_GROUPS: {"stats": (1,), "arena": (2, 5), "weights": (4,)},
    Kind.MEASURE: {"stats": (1,), "arena": (2,)},
    Kind.COVARIANCE: {"stats": (1, 2), "arena": (3,), "covariances": (5,)},
    Kind.FIRST_IMAGE: {"arena": (1,), "firsts": (3,)},
}
"""Kind -> array -> the columns, counted behind the key, that are offsets into this array."""

TERM_PLACES: dict[str, tuple[int, ...]] = {"arena": (0,), "stats": (2, 3), "words": (5,)}
GRAM_PLACES: dict[str, tuple[int, ...]] = {"words": (0,), "architectures": (3,), "tensors": (6,)}


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution `op` that needs weights, and the place of its weights, which are ordered (tap, input, output)."""

    op: ops.Conv
    place: int


@dataclass(frozen=True, slots=True)
class Stack:
    """Arrays of one shape that follow each other in memory. Each belongs to a coded tensor.

    Attributes:
        place: where the first array begins.
        shape: rows and columns of each array.
        tensors: the numbers of the tensors, in order.
    """

    place: int
    shape: tuple[int, int]
    tensors: tuple[int, ...]

    @property
    def end(self) -> int:
        """Where the last array ends."""
        return self.place + len(self.tensors) * prod(self.shape)


@dataclass(frozen=True, slots=True)
class Lowered:
    """One architecture, ready to be merged into a group.

    A coded tensor is one that live ReLUs read and that is not zero for every image. Coded tensors are numbered in the order of
    their codes.

    Attributes:
        jobs: kind -> its rows, shape (jobs, key + kind's columns), int64.
        terms: the terms of all combinations, shape (terms, columns).
        grams: the Gram jobs, shape (jobs, columns).
        layers: the layers that need weights.
        sizes: number of elements needed in each of `arena`, `stats`, `weights`, `words`, `covariances`, `firsts`.
        num_units: N_A as the published code counts it, and as the paper does.
        codes: the network's codes.
        covariances: the covariances of channels, if wanted.
        firsts: values of the first image, pixels by channels, if wanted; only for tensors with more pixels than channels.
    """

    jobs: dict[Kind, IntArray]
    terms: IntArray
    grams: IntArray
    layers: tuple[Layer, ...]
    sizes: dict[str, int]
    num_units: tuple[int, int]
    codes: tuple[Codes, ...]
    covariances: tuple[Stack, ...]
    firsts: tuple[Stack, ...]

    @property
    def tensor_units(self) -> list[int]:
        """Number of units of each coded tensor."""
        return [codes.num_units for codes in self.codes if codes.node is not None]


def channel_blocks(channels: int, most: int = 64) -> tuple[int, int]:
    """How kernels without matrix products divide channels: the size of a block, and the number of blocks."""
    block = min(most, max(8, power_of_two(channels)))
    return block, -(-channels // block)


def pixel_block(block: int, pixels: int) -> int:
    """Number of pixels in an elementwise tile with `block` channels, for an image of `pixels` pixels."""
    return min(TILE // block, max(4, power_of_two(pixels)))


def code_words(shape: ops.Shape) -> int:
    """Number of 32-bit words that the code of one image takes for a tensor of this shape. Tiles are counted whole."""
    block, blocks = channel_blocks(shape[0])
    pixels = prod(shape[1:])
    block_p = pixel_block(block, pixels)
    return blocks * -(-pixels // block_p) * block_p * block // 32


def align(size: int) -> int:
    """Round a number of elements up, so that the next array is aligned."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def is_aligned(*numbers: int) -> int:
    """1 if these offsets and channels let a kernel read 16 bytes at a time, whatever the dtype; else 0."""
    return int(not any(number % 8 for number in numbers))


def power_of_two(value: int) -> int:
    return 1 << (value - 1).bit_length()
