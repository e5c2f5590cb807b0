"""Plans the weights: which ones the device draws, as rows for the kernel `draw`, and which ones come from the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch

from naswot_ray import philox
from naswot_ray.engines.cuda.tables import IntArray, Layer
from naswot_ray.engines.weights import SeededWeights, WeightSource

BLOCK = 1024
"""Number of counters that one program of the kernel handles. A counter gives 256 random bits."""

_DRAWS_PER_COUNTER = {"uniform": 8, "normal": 16}


@dataclass(frozen=True, slots=True)
class Drawing:
    """How one architecture gets its weights. Places are relative to the architecture's first weight.

    Attributes:
        uniform, normal: rows for the kernel `draw`, shape (layers, 9), int64.
        given: the caller's own weights, each with its place and in the order (tap, input, output), flat.
    """

    uniform: IntArray
    normal: IntArray
    given: tuple[tuple[int, torch.Tensor], ...]


def drawing_of(layers: Sequence[Layer], source: WeightSource) -> Drawing:
    """Plan how an architecture's layers get their weights from a source.

    Raises:
        ValueError: the source gives a weight whose shape is not the layer's.
    """
    if not isinstance(source, SeededWeights):
        return Drawing(_rows([]), _rows([]), tuple((layer.place, _given(layer, source)) for layer in layers))
    rows: list[list[int]] = []
    key = philox.key_of(source.purpose).view(np.int64).tolist()
    is_normal = source.initialisation == "normal_fan_out"
    for layer in layers:
        out_channels, in_channels, *kernel = layer.op.weight_shape
        shape = [in_channels, prod(kernel), out_channels]
        scale = np.float32(source.scale(layer.op) * (1.0 if is_normal else philox.UNIFORM_UNIT))
        rows.append([*key, layer.op.layer, layer.place, prod(shape), *shape, int(scale.view(np.int32))])
    return Drawing(_rows([]), _rows(rows), ()) if is_normal else Drawing(_rows(rows), _rows([]), ())


def tiles_of(rows: IntArray, distribution: str) -> IntArray:
    """The programs of a launch that draws these rows: for each its row and its number within the row, shape (programs, 2)."""
    if not len(rows):
        return np.empty((0, 2), np.int64)
    programs = -(-rows[:, 4] // (BLOCK * _DRAWS_PER_COUNTER[distribution]))
    row = np.repeat(np.arange(len(rows)), programs)
    number = np.arange(len(row)) - np.repeat(np.cumsum(programs) - programs, programs)
    return np.stack([row, number], axis=1)


def _given(layer: Layer, source: WeightSource) -> torch.Tensor:
    weight = source(layer.op)
    if tuple(weight.shape) != layer.op.weight_shape:
        raise ValueError(f"a weight of shape {tuple(weight.shape)} for {layer.op}")
    return weight.permute(2, 3, 1, 0).flatten()


def _rows(rows: list[list[int]]) -> IntArray:
    return np.array(rows, np.int64).reshape(len(rows), 9)
