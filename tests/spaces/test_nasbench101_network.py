"""Networks of NAS-Bench-101 have the same kernels as nasbench_pytorch's, given the same weights."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nasbench_pytorch.model import Network as OracleNetwork
from nasbench_pytorch.model.model import compute_vertex_channels
from torch import nn

from naswot_ray import load_images, score_module
from naswot_ray.engines.engine import Scores
from naswot_ray.engines.score import score_with_weights
from naswot_ray.engines.weights import SeededWeights, WeightSource
from naswot_ray.errors import ArchitectureError
from naswot_ray.network import Network, ops
from naswot_ray.spaces.nasbench101 import build_network, vertex_channels
from naswot_ray.spaces.nasbench101_cells import OPS, Cell, list_cells, read_cell
from tests.spaces.nasbench101_oracle import cells

CELLS = list_cells()
BATCH = load_images("noise").batch(8, seed=0)


def some_cells(count: int) -> Iterator[Cell]:
    """The smallest cells, cells that split channels unevenly with an edge from input to output, and random cells."""
    yield from (CELLS[index] for index in range(7))
    uneven = Cell(0, (0, 1, 2, 0)).matrix
    for x, y in [(0, 1), (1, 2), (1, 3), (1, 4), (2, 5), (3, 5), (4, 5), (0, 5), (2, 4)]:
        uneven[x][y] = 1
    yield read_cell(uneven, ["input", OPS[0], OPS[1], OPS[2], OPS[0], "output"])
    for index in random.Random(0).sample(range(len(CELLS)), count):
        yield CELLS[index]


def build(cell: Cell, *, stem_channels: int = 16, num_stacks: int = 3, cells_per_stack: int = 3) -> Network:
    return build_network(
        cell.matrix,
        cell.ops,
        arch_id="cell",
        stem_channels=stem_channels,
        num_stacks=num_stacks,
        cells_per_stack=cells_per_stack,
    )


def oracle(
    cell: Cell, weights: WeightSource, *, stem_channels: int = 16, num_stacks: int = 3, cells_per_stack: int = 3
) -> nn.Module:
    """nasbench_pytorch's network with the weights of our layers, both taken in the order of execution."""
    module = OracleNetwork(
        (np.array(cell.matrix), cell.ops),
        stem_out_channels=stem_channels,
        num_stacks=num_stacks,
        num_modules_per_stack=cells_per_stack,
    )
    network = build(cell, stem_channels=stem_channels, num_stacks=num_stacks, cells_per_stack=cells_per_stack)
    executed: list[nn.Conv2d] = []
    hooks = [m.register_forward_pre_hook(lambda m, _: executed.append(m)) for m in module.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        module(torch.zeros(2, 3, 32, 32))
        for hook in hooks:
            hook.remove()
        convolutions = [layer for layer in network.layers if isinstance(layer, ops.Conv)]
        for conv, layer in zip(executed, convolutions, strict=True):
            conv.weight.copy_(weights(layer))
    assert isinstance(module, nn.Module)
    return module


def kernel(score: Scores) -> list[Any]:
    assert score.kernel is not None
    rows: list[Any] = score.kernel.tolist()
    return rows


def test_kernels_are_the_oracles() -> None:
    for cell in some_cells(12):
        network = build(cell)
        weights = SeededWeights(network, seed=0)
        own = score_with_weights(network, BATCH, weights, engine="exact", return_kernel=True)
        expected = score_module(oracle(cell, weights), torch.as_tensor(BATCH), return_kernel=True)
        assert own.num_units == own.num_units_paper == expected.num_units, cell
        assert kernel(own) == kernel(expected), cell
        assert own["naswot"] == own["naswot_paper"] == expected["naswot"]


@pytest.mark.parametrize(("stem_channels", "num_stacks", "cells_per_stack"), [(5, 1, 2), (7, 2, 1), (24, 2, 2)])
def test_kernels_of_other_macro_structures(stem_channels: int, num_stacks: int, cells_per_stack: int) -> None:
    macro = {"stem_channels": stem_channels, "num_stacks": num_stacks, "cells_per_stack": cells_per_stack}
    for cell in list(some_cells(4))[-5:]:
        network = build(cell, **macro)
        weights = SeededWeights(network, seed=1)
        own = score_with_weights(network, BATCH, weights, engine="exact", return_kernel=True)
        expected = score_module(oracle(cell, weights, **macro), torch.as_tensor(BATCH), return_kernel=True)
        assert kernel(own) == kernel(expected), cell


def test_swapped_layers_are_seen() -> None:
    """The comparison above notices two layers of one shape that exchange their weights, and layers that share weights."""
    cell = read_cell([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]], ["input", OPS[0], OPS[0], "output"])
    network = build(cell)
    own = SeededWeights(network, seed=0)
    projection, first, other_projection, second = (layer for layer in network.layers[1:5])
    assert isinstance(first, ops.Conv)
    assert isinstance(second, ops.Conv)
    assert first.kernel == second.kernel == (3, 3)
    assert first.weight_shape == second.weight_shape
    assert projection.weight_shape == other_projection.weight_shape
    expected = kernel(score_module(oracle(cell, own), torch.as_tensor(BATCH), return_kernel=True))
    exchange: dict[int, ops.Weighted] = {first.layer: second, second.layer: first}

    def swapped(layer: ops.Weighted) -> torch.Tensor:
        return own(exchange.get(layer.layer, layer))

    def shared_weights(layer: ops.Weighted) -> torch.Tensor:
        return own(first if layer.layer == second.layer else layer)

    for weights, same in ((own, True), (swapped, False), (shared_weights, False)):
        got = kernel(score_with_weights(network, BATCH, weights, engine="exact", return_kernel=True))
        assert (got == expected) is same


@given(cells(), st.integers(5, 200))
def test_channels_are_split_as_in_the_benchmark(cell: Cell, channels: int) -> None:
    assert vertex_channels(cell, channels)[1:] == compute_vertex_channels(channels, channels, np.array(cell.matrix))[1:]


@settings(max_examples=30)
@given(cells())
def test_params_are_the_oracles(cell: Cell) -> None:
    module = OracleNetwork((np.array(cell.matrix), cell.ops), stem_out_channels=8)
    layers = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)  # the oracle also has placeholders with parameters
    trainable = sum(p.numel() for m in module.modules() if isinstance(m, layers) for p in m.parameters())
    assert build(cell, stem_channels=8).params == trainable


def test_vertices_on_no_path_have_no_influence() -> None:
    kept = Cell(0b101, (0,))
    dangling = [[0, 1, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    network = build_network(dangling, ["input", OPS[0], OPS[1], OPS[2], "output"], arch_id="cell")
    assert network == build(kept)


def test_every_relu_counts_once_over_its_full_channels() -> None:
    """Vertex 1 has 6 of 16 channels. Vertices 2 and 3, with 5 channels each, read only 5 of them."""
    cell = read_cell(
        [[0, 1, 0, 0, 0], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]],
        ["input", OPS[0], OPS[1], OPS[2], "output"],
    )
    network = build(cell, num_stacks=1, cells_per_stack=1)
    stem, projection, first, second = 16, 6, 6, 5  # the third vertex pools
    assert network.num_units == network.num_units_paper == (stem + projection + first + second) * 32 * 32
    assert network.num_relus == 4


def test_drawn_by_fan_out() -> None:
    network = build(CELLS[100])
    assert network.initialisation == "normal_fan_out"


def test_more_vertices_and_edges_than_the_space_has() -> None:
    """These are limits of the space, not of the network."""
    size = 8
    matrix = [[int(x < y) for y in range(size)] for x in range(size)]
    assert build_network(matrix, ["input", *[OPS[1]] * 6, "output"], arch_id="large").num_relus > 0


def _unbuildable() -> Sequence[tuple[list[list[int]], list[str], str]]:
    wide = [[0, *[1] * 17, 0], *([0] * 18 + [1] for _ in range(17)), [0] * 19]
    return [
        ([[0, 0], [0, 0]], ["input", "output"], "no path leads from the input vertex to the output vertex"),
        ([[0, 1], [1, 0]], ["input", "output"], "must be upper triangular"),
        (wide, ["input", *[OPS[0]] * 17, "output"], "17 vertices feed the output, which has only 16 channels to split"),
    ]


@pytest.mark.parametrize(("matrix", "operations", "message"), _unbuildable())
def test_unbuildable(matrix: list[list[int]], operations: list[str], message: str) -> None:
    with pytest.raises(ArchitectureError, match=re.escape(message)):
        build_network(matrix, operations, arch_id="cell")
