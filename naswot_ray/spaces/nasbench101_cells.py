"""The cells of NAS-Bench-101, listed from first principles: no benchmark file is needed.

Source: Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search" (ICML 2019), section 2. A cell is a
directed acyclic graph of at most 7 vertices and 9 edges. The first vertex is the input and the last the output; every other
vertex has one of three operations, and every vertex is on a path from input to output. There are 423,624 isomorphism classes.

The benchmark's generator (`nasbench/scripts/generate_graph.py`) goes through the matrices by their bits and through the
operations in lexicographic order, and keeps the first cell of each class. Channels are split unevenly over the vertices, so it
matters which cell represents a class. This module chooses the same ones.
"""

from __future__ import annotations

import itertools
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from naswot_ray.errors import ArchitectureError
from naswot_ray.spaces.notations import plain

OPS: Final = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"""The operations in the order of the benchmark (`available_ops`). A label is a position in this tuple."""

MAX_VERTICES: Final = 7
MAX_EDGES: Final = 9

Bits = npt.NDArray[np.uint32]
Permutation = tuple[int, ...]
"""`permutation[v]` is the new number of vertex v. The first and the last vertex keep their numbers."""


class Cell(NamedTuple):
    """One cell, in the form that the listing of the space uses.

    Attributes:
        bits: the edges; bit x + y (y - 1) / 2 is set if an edge leads from vertex x to vertex y > x.
        labels: the operations of the interior vertices.
    """

    bits: int
    labels: tuple[int, ...]

    @property
    def num_vertices(self) -> int:
        """The number of vertices, including input and output."""
        return len(self.labels) + 2

    @property
    def matrix(self) -> list[list[int]]:
        """The adjacency matrix: 1 if an edge leads from the vertex of the row to the vertex of the column."""
        vertices = range(self.num_vertices)
        return [[int(x < y and self.bits >> edge_bit(x, y) & 1) for y in vertices] for x in vertices]

    @property
    def ops(self) -> list[str]:
        """The operations, including `input` and `output`."""
        return ["input", *(OPS[label] for label in self.labels), "output"]

    @property
    def in_space(self) -> bool:
        """Whether a pruned cell is within the benchmark's limits of vertices and edges."""
        return self.num_vertices <= MAX_VERTICES and self.bits.bit_count() <= MAX_EDGES

    def sources(self, vertex: int) -> list[int]:
        """The vertices from which an edge leads to `vertex`, in ascending order."""
        return [x for x in range(vertex) if self.bits >> edge_bit(x, vertex) & 1]


@dataclass(frozen=True)
class Cells:
    """All cells in the order of the space: by number of vertices, then bits, then labels.

    Attributes:
        num_vertices: shape (423624,), uint8.
        bits: shape (423624,), uint32; see `Cell.bits`.
        labels: shape (423624,), uint8: the labels as a number in base 3; the first interior vertex is the highest digit.
    """

    num_vertices: npt.NDArray[np.uint8]
    bits: Bits
    labels: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, index: int) -> Cell:
        num_interior, code = int(self.num_vertices[index]) - 2, int(self.labels[index])
        return Cell(int(self.bits[index]), tuple(code // 3**k % 3 for k in reversed(range(num_interior))))


def edge_bit(x: int, y: int) -> int:
    """The bit of the edge from vertex x to vertex y > x."""
    return x + y * (y - 1) // 2


def read_cell(matrix: Sequence[Sequence[int]], ops: Sequence[str]) -> Cell:
    """Read a cell in the notation of the benchmark. It can have any size, and vertices that lead nowhere (see `prune`).

    Args:
        matrix: upper-triangular adjacency matrix of 0 and 1.
        ops: one operation per vertex; the first and the last are ignored.

    Raises:
        ArchitectureError: it is not a cell; the message names the row, edge or vertex that is wrong and what is expected.
    """
    num_vertices = len(matrix)
    if num_vertices < 2:
        raise ArchitectureError(f"a matrix of {num_vertices} rows: a cell has at least an input and an output vertex")
    if len(ops) != num_vertices:
        raise ArchitectureError(f"{len(ops)} operations for {num_vertices} vertices, expected one per vertex")
    bits = 0
    for x, row in enumerate(matrix):
        if len(row) != num_vertices:
            raise ArchitectureError(f"row {x} of the matrix has {len(row)} entries, expected {num_vertices} (square)")
        for y, entry in enumerate(row):
            if entry not in (0, 1):
                raise ArchitectureError(f"entry ({x}, {y}) of the matrix is {entry!r}, expected 0 or 1")
            if entry and y <= x:
                raise ArchitectureError(f"edge from vertex {x} to vertex {y}: the matrix must be upper triangular")
            if entry:
                bits |= 1 << edge_bit(x, y)
    for vertex, op in enumerate(ops[1:-1], start=1):
        if op not in OPS:
            raise ArchitectureError(f"unknown operation {op!r} of vertex {vertex}, expected one of {', '.join(OPS)}")
    return Cell(bits, tuple(OPS.index(op) for op in ops[1:-1]))


def read_spec(spec: object) -> Cell | None:
    """Read a cell in one of the notations that people have it in, and prune it. None if `spec` is in none of them.

    Args:
        spec: a pair (matrix, operations); an object with the attributes `matrix` and `ops`, such as the `ModelSpec` of the
            benchmark; or a dict with the keys `matrix` and `ops`, or `module_adjacency` and `module_operations` as in the
            benchmark. The matrix is a list of rows or an array.

    Raises:
        ArchitectureError: it is no cell of the space. The message says what is wrong and what is expected.
    """
    match spec:
        case {"module_adjacency": matrix, "module_operations": ops} | {"matrix": matrix, "ops": ops}:
            pass
        case object(matrix=matrix, ops=ops):
            if matrix is None or ops is None:  # what the benchmark's class leaves of an invalid cell
                raise _no_path()
        case [matrix, ops]:
            pass
        case _:
            return None
    rows, names = plain(matrix), plain(ops)
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise ArchitectureError(f"matrix {reprlib.repr(rows)}: expected a list of rows or a two-dimensional array of 0 and 1")
    if not isinstance(names, list):
        raise ArchitectureError(f"operations {reprlib.repr(names)}: expected a list of names, from 'input' to 'output'")
    cell = read_cell(rows, names)
    if (names[0], names[-1]) != ("input", "output"):
        raise ArchitectureError(f"operations {reprlib.repr(names)}: expected 'input' first and 'output' last")
    pruned = prune(cell)
    if not pruned.in_space:
        raise ArchitectureError(
            f"{pruned.num_vertices} vertices and {pruned.bits.bit_count()} edges are on paths from input to output: "
            f"expected at most {MAX_VERTICES} vertices and {MAX_EDGES} edges"
        )
    return pruned


def prune(cell: Cell) -> Cell:
    """The cell without the vertices that are on no path from input to output (the benchmark's `ModelSpec`).

    Raises:
        ArchitectureError: no path leads from input to output.
    """
    sources = [cell.sources(vertex) for vertex in range(cell.num_vertices)]
    reached = {0}
    for vertex in range(1, cell.num_vertices):
        if not reached.isdisjoint(sources[vertex]):
            reached.add(vertex)
    last = cell.num_vertices - 1
    needed = {last}
    for vertex in range(last, 0, -1):
        if vertex in needed:
            needed.update(sources[vertex])
    if last not in reached:
        raise _no_path()
    kept = sorted(reached & needed)
    bits = sum(1 << edge_bit(x, y) for y, old in enumerate(kept) for x in range(y) if kept[x] in sources[old])
    return Cell(bits, tuple(cell.labels[vertex - 1] for vertex in kept[1:-1]))


def _no_path() -> ArchitectureError:
    return ArchitectureError("no path leads from the input vertex to the output vertex")


@cache
def list_cells() -> Cells:
    """All 423,624 cells; takes a fraction of a second."""
    num_vertices: list[npt.NDArray[np.uint8]] = []
    bits: list[Bits] = []
    labels: list[npt.NDArray[np.uint8]] = []
    for size in range(2, MAX_VERTICES + 1):
        for matrix, automorphisms in _smallest_matrices(size):
            labels.append(_smallest_labelings(size - 2, automorphisms))
            bits.append(np.full(len(labels[-1]), matrix, np.uint32))
            num_vertices.append(np.full(len(labels[-1]), size, np.uint8))
    return Cells(np.concatenate(num_vertices), np.concatenate(bits), np.concatenate(labels))


def _smallest_matrices(num_vertices: int) -> list[tuple[int, tuple[Permutation, ...]]]:
    """The matrix with the smallest bits of each isomorphism class, with its automorphisms; in the order of the bits."""
    bits = _full_dags(num_vertices)
    interior = range(1, num_vertices - 1)
    permutations = [(0, *p, num_vertices - 1) for p in itertools.permutations(interior)][1:]
    for permutation in permutations:
        relabelled, upper = _relabel(bits, permutation)
        bits = bits[~upper | (relabelled >= bits)]
    automorphisms: list[list[Permutation]] = [[] for _ in bits]
    for permutation in permutations:
        relabelled, upper = _relabel(bits, permutation)
        for position in np.flatnonzero(upper & (relabelled == bits)):
            automorphisms[position].append(permutation)
    return [(int(matrix), tuple(found)) for matrix, found in zip(bits, automorphisms, strict=True)]


def _full_dags(num_vertices: int) -> Bits:
    """The matrices of at most 9 edges with every vertex on a path: the input alone has no edge in, the output none out."""
    edges = _edges(num_vertices)
    bits: Bits = np.arange(1 << len(edges), dtype=np.uint32)
    full = np.bitwise_count(bits) <= MAX_EDGES
    for vertex in range(num_vertices):
        edges_in = sum(1 << edge_bit(x, y) for x, y in edges if y == vertex)
        edges_out = sum(1 << edge_bit(x, y) for x, y in edges if x == vertex)
        for wanted in filter(None, (edges_in, edges_out)):  # skips the edges into the input and out of the output
            full &= bits & np.uint32(wanted) != 0
    return bits[full]


def _relabel(bits: Bits, permutation: Permutation) -> tuple[Bits, npt.NDArray[np.bool_]]:
    """The matrices after their vertices are renumbered, and which of them stay upper triangular."""
    relabelled = np.zeros_like(bits)
    upper = np.ones(len(bits), bool)
    for x, y in _edges(len(permutation)):
        edge = bits >> np.uint32(edge_bit(x, y)) & np.uint32(1)
        new_x, new_y = permutation[x], permutation[y]
        if new_x < new_y:
            relabelled |= edge << np.uint32(edge_bit(new_x, new_y))
        else:
            upper &= edge == 0
    return relabelled, upper


@cache  # all matrices have only a few different groups of automorphisms
def _smallest_labelings(num_interior: int, automorphisms: tuple[Permutation, ...]) -> npt.NDArray[np.uint8]:
    """The smallest labeling, as a number in base 3, of each class under the automorphisms; in ascending order."""
    labelings = np.array(list(itertools.product(range(3), repeat=num_interior)), np.uint8).reshape(
        3**num_interior, num_interior
    )
    place_values = 3 ** np.arange(num_interior - 1, -1, -1)
    codes = labelings @ place_values
    smallest = np.ones(len(codes), bool)
    for automorphism in automorphisms:
        image = [vertex - 1 for vertex in automorphism[1:-1]]
        smallest &= labelings[:, image] @ place_values >= codes
    return codes[smallest].astype(np.uint8)


def _edges(num_vertices: int) -> list[tuple[int, int]]:
    return [(x, y) for y in range(num_vertices) for x in range(y)]
