"""The job tables: what their rows mean, how they share a launch, and how kernels cut shapes into blocks.

A row is a job. Its first `KEY_COLUMNS` are its step and the shape that the jobs of one launch have in common. The module of
the kernel says what the others are.
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
"""No such place."""
IMAGES = -2
"""The batch of images, which all architectures share."""

STEP_COLUMNS = 2
SHAPE_COLUMNS = 4
KEY_COLUMNS = STEP_COLUMNS + SHAPE_COLUMNS
"""At the head of each row: stage and level, then what one launch has to have in common."""

BLOCK_M = 128
"""Pixels of a convolution's tile."""
TILE = 2048
"""Elements of an elementwise tile."""
WORDS_PER_JOB = 2048
"""Of a Gram job: 65,536 units."""
PRODUCT_ROWS = 32
"""Pixels whose channels are multiplied by each other at once: few, so that devices with little shared memory have room."""
ROWS_PER_SPLIT = 8192
"""Pixels of all images whose products one program of a covariance adds up."""
ALIGNMENT = 64
"""Elements; tensors begin at multiples of it."""


class Kind(IntEnum):
    """The tables, in the order in which their jobs run within a step."""

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
"""Which columns, behind the key, are offsets into what."""

TERM_PLACES: dict[str, tuple[int, ...]] = {"arena": (0,), "stats": (2, 3), "words": (5,)}
GRAM_PLACES: dict[str, tuple[int, ...]] = {"words": (0,), "architectures": (3,), "tensors": (6,)}


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution to draw weights for: `op`, and where its weights lie, as (tap, input, output)."""

    op: ops.Conv
    place: int


@dataclass(frozen=True, slots=True)
class Stack:
    """Arrays of one shape that lie one behind the other, one for each of some coded tensors.

    Attributes:
        place: of the first one.
        shape: rows and columns of each.
        tensors: the numbers of the tensors, in order.
    """

    place: int
    shape: tuple[int, int]
    tensors: tuple[int, ...]

    @property
    def end(self) -> int:
        """Where the last one ends."""
        return self.place + len(self.tensors) * prod(self.shape)


@dataclass(frozen=True, slots=True)
class Lowered:
    """One architecture, ready to be merged into a group.

    A coded tensor here is one that live ReLUs read and that is not zero for every image; it has the number of its codes among
    those of all such tensors.

    Attributes:
        jobs: for each kind its rows, shape (jobs, key + kind's columns), int64.
        terms: of all combinations, shape (terms, columns).
        grams: Gram jobs, shape (jobs, columns).
        layers: what weights to draw.
        sizes: elements it needs of `arena`, `stats`, `weights`, `words`, `covariances`, `firsts`.
        num_units: N_A as the published code counts, and as the paper does.
        codes: the network's.
        covariances: matrices of channels, if wanted.
        firsts: values of the first image, pixels by channels, if wanted: of tensors with more pixels than channels.
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
        """Units of each coded tensor."""
        return [codes.num_units for codes in self.codes if codes.node is not None]


def channel_blocks(channels: int, most: int = 64) -> tuple[int, int]:
    """How kernels without matrix products cut channels: the size of a block, and the number of blocks."""
    block = min(most, max(8, power_of_two(channels)))
    return block, -(-channels // block)


def pixel_block(block: int, pixels: int) -> int:
    """Pixels of an elementwise tile with `block` channels, of an image of `pixels`."""
    return min(TILE // block, max(4, power_of_two(pixels)))


def code_words(shape: ops.Shape) -> int:
    """32-bit words that one image's code of a shape takes, whole tiles."""
    block, blocks = channel_blocks(shape[0])
    pixels = prod(shape[1:])
    block_p = pixel_block(block, pixels)
    return blocks * -(-pixels // block_p) * block_p * block // 32


def align(size: int) -> int:
    """A number of elements, rounded up so that what comes next is aligned."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def is_aligned(*numbers: int) -> int:
    """Whether offsets and channels let memory be read 16 bytes at a time, whatever the dtype."""
    return int(not any(number % 8 for number in numbers))


def power_of_two(value: int) -> int:
    return 1 << (value - 1).bit_length()
