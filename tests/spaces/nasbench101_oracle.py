"""Cells for property tests, and what the benchmark's own code (the package nasbench_pytorch) says about them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from nasbench_pytorch.model import ModelSpec
from nasbench_pytorch.model.graph_util import hash_module

from naswot_ray.spaces.nasbench101_cells import OPS, Cell, edge_bit, prune, read_cell

Matrix = list[list[int]]


@st.composite
def matrices(draw: st.DrawFn, max_vertices: int = 7) -> Matrix:
    """Upper-triangular matrices. Some have vertices on no path, and some have no path at all."""
    size = draw(st.integers(2, max_vertices))
    edges = draw(st.lists(st.booleans(), min_size=size * (size - 1) // 2, max_size=size * (size - 1) // 2))
    return [[int(x < y and edges[edge_bit(x, y)]) for y in range(size)] for x in range(size)]


@st.composite
def operations(draw: st.DrawFn, matrix: Matrix) -> list[str]:
    """One operation for each vertex of a matrix."""
    interior = draw(st.lists(st.sampled_from(OPS), min_size=len(matrix) - 2, max_size=len(matrix) - 2))
    return ["input", *interior, "output"]


def pruned(matrix: Matrix, ops: Sequence[str]) -> tuple[Matrix, list[str]] | None:
    """The benchmark's `ModelSpec`; None if it finds no path."""
    if not _has_path(matrix):
        return None
    spec = ModelSpec(np.array(matrix), list(ops))
    return spec.matrix.tolist(), spec.ops


def module_hash(matrix: Matrix, ops: Sequence[str]) -> str:
    """The benchmark's `hash_spec` of a pruned cell."""
    labeling = [-1, *(OPS.index(op) for op in ops[1:-1]), -2]
    return str(hash_module(np.array(matrix), labeling))


def _has_path(matrix: Matrix) -> bool:
    # nasbench_pytorch 1.3 cannot say so itself: it fails when it converts the matrix, which is None without a path.
    return bool(np.linalg.matrix_power(np.array(matrix) + np.eye(len(matrix), dtype=int), len(matrix))[0, -1])


@st.composite
def relabelled(draw: st.DrawFn, cell: Cell) -> Cell:
    """The cell with its interior vertices in another order, in which every edge still leads forwards."""
    order: list[int] = []
    while len(order) < len(cell.labels):
        left = set(range(1, cell.num_vertices - 1)).difference(order)
        order.append(draw(st.sampled_from([vertex for vertex in sorted(left) if left.isdisjoint(cell.sources(vertex))])))
    place = {vertex: position for position, vertex in enumerate([0, *order, cell.num_vertices - 1])}
    bits = sum(1 << edge_bit(place[x], place[y]) for y in place for x in cell.sources(y))
    return Cell(bits, tuple(cell.labels[vertex - 1] for vertex in order))


@st.composite
def cells(draw: st.DrawFn, max_vertices: int = 7) -> Cell:
    """Pruned cells. Some have more edges than the space allows."""
    matrix = draw(matrices(max_vertices).filter(_has_path))
    return prune(read_cell(matrix, draw(operations(matrix))))
