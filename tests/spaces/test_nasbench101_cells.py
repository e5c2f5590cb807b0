"""The enumeration is compared with the benchmark's own generator where that is quick; any cell can be read and pruned."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naswot_ray.errors import ArchitectureError
from naswot_ray.spaces.nasbench101_cells import OPS, Cell, list_cells, prune, read_cell
from tests.spaces.nasbench101_oracle import Matrix, matrices, module_hash, operations, pruned

CELLS = list_cells()
COUNTS = {2: 1, 3: 6, 4: 84, 5: 2_441, 6: 62_010, 7: 359_082}


def test_counts() -> None:
    assert Counter(CELLS.num_vertices.tolist()) == COUNTS
    assert len(CELLS) == 423_624


def test_order_is_by_vertices_then_bits_then_labels() -> None:
    keys = (CELLS.num_vertices.astype(np.int64) << 40) | (CELLS.bits.astype(np.int64) << 8) | CELLS.labels
    assert bool(np.all(np.diff(keys) > 0))


def test_cells_are_those_that_the_benchmarks_generator_meets_first() -> None:
    """`generate_graph.py` with all its loops, for up to four vertices."""
    found: list[Cell] = []
    seen: set[str] = set()
    for size in range(2, 5):
        for bits in range(2 ** (size * (size - 1) // 2)):
            matrix = Cell(bits, (0,) * (size - 2)).matrix
            if not all(any(row) for row in matrix[:-1]) or not all(
                any(column) for column in list(zip(*matrix, strict=True))[1:]
            ):
                continue
            for labels in itertools.product(range(3), repeat=size - 2):
                cell = Cell(bits, labels)
                fingerprint = module_hash(matrix, cell.ops)
                if fingerprint not in seen:
                    seen.add(fingerprint)
                    found.append(cell)
    assert [CELLS[i] for i in range(sum(COUNTS[size] for size in (2, 3, 4)))] == found


@pytest.mark.parametrize("index", [0, 1, 6, 7, 2_532, 64_542, 423_623])
def test_cells_are_pruned_and_within_the_limits(index: int) -> None:
    cell = CELLS[index]
    assert prune(cell) == cell
    assert cell.in_space


@given(st.data())
def test_prune_is_the_benchmarks(data: st.DataObject) -> None:
    matrix = data.draw(matrices(max_vertices=9))
    ops = data.draw(operations(matrix))
    expected = pruned(matrix, ops)
    if expected is None:
        with pytest.raises(ArchitectureError, match="no path leads from the input vertex to the output vertex"):
            prune(read_cell(matrix, ops))
    else:
        cell = prune(read_cell(matrix, ops))
        assert (cell.matrix, cell.ops) == expected
        assert prune(cell) == cell


@given(st.data())
def test_reading_is_the_inverse_of_writing(data: st.DataObject) -> None:
    matrix = data.draw(matrices())
    ops = data.draw(operations(matrix))
    cell = read_cell(matrix, ops)
    assert (cell.matrix, cell.ops) == (matrix, ops)
    assert [cell.sources(y) for y in range(len(matrix))] == [
        [x for x in range(len(matrix)) if matrix[x][y]] for y in range(len(matrix))
    ]
    assert read_cell(np.array(matrix), ops) == cell  # type: ignore[arg-type]  # what the benchmark's own code holds


def test_labels_of_input_and_output_are_not_looked_at() -> None:
    assert read_cell([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["", OPS[2], "anything"]) == Cell(0b101, (2,))


CHAIN: Matrix = [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
CHAIN_OPS = ["input", "maxpool3x3", "output"]


@pytest.mark.parametrize(
    ("matrix", "ops", "message"),
    [
        ([], [], "a matrix of 0 rows: a cell has at least an input and an output vertex"),
        ([[0]], ["input"], "a matrix of 1 rows: a cell has at least"),
        (CHAIN, CHAIN_OPS[:2], "2 operations for 3 vertices, expected one per vertex"),
        ([[0, 1, 0], [0, 0], [0, 0, 0]], CHAIN_OPS, "row 1 of the matrix has 2 entries, expected 3 (square)"),
        ([[0, 2, 0], [0, 0, 1], [0, 0, 0]], CHAIN_OPS, "entry (0, 1) of the matrix is 2, expected 0 or 1"),
        ([[0, 1, 0], [1, 0, 1], [0, 0, 0]], CHAIN_OPS, "edge from vertex 1 to vertex 0: the matrix must be upper triangular"),
        ([[0, 1, 0], [0, 1, 1], [0, 0, 0]], CHAIN_OPS, "edge from vertex 1 to vertex 1: the matrix must be upper triangular"),
        (
            CHAIN,
            ["input", "conv5x5-bn-relu", "output"],
            "unknown operation 'conv5x5-bn-relu' of vertex 1, expected one of conv3x3-bn-relu, conv1x1-bn-relu, maxpool3x3",
        ),
    ],
)
def test_malformed(matrix: Any, ops: list[str], message: str) -> None:
    with pytest.raises(ArchitectureError, match=re.escape(message)):
        read_cell(matrix, ops)


@pytest.mark.parametrize(("num_interior", "bits", "within"), [(5, 0x1FF, True), (5, 0x3FF, False), (6, 0x1FF, False)])
def test_limits(num_interior: int, bits: int, within: bool) -> None:
    assert Cell(bits, (0,) * num_interior).in_space is within
