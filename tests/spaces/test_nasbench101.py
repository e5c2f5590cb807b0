"""NAS-Bench-101: the benchmark's own table row by row, the order, neighbours, and what is sent to workers."""

from __future__ import annotations

import json
import pickle
import random
import re
from functools import cache
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nasbench_pytorch.model import ModelSpec

from naswot_ray.errors import ArchitectureError, SettingsError
from naswot_ray.spaces import get_space, nasbench101_hashes, open_spaces
from naswot_ray.spaces.nasbench101 import NasBench101, build_network, vertex_channels
from naswot_ray.spaces.nasbench101_cells import MAX_EDGES, MAX_VERTICES, OPS, Cell, list_cells
from naswot_ray.spaces.nasbench101_hashes import hash_cell
from tests.data import find_table
from tests.spaces.nasbench101_oracle import matrices, module_hash, operations, pruned, relabelled

CELLS = list_cells()
STARTS: list[int] = np.flatnonzero(np.diff(CELLS.bits, prepend=0)).tolist()
"""Position of the first cell of each matrix."""
# The benchmark's hashes of the first and the last cell of each number of vertices, as in its table.
HASHES = {
    0: "043721b9c7fe8c5fad811d47d83132ec",
    1: "b49ac8c578b4561d79ac7087988f1c61",
    7: "852f21047c2aa03cb1fde04587083228",
    90: "85718dce1eb4b3faf5afb197457e35ee",
    2_531: "45584da276523d86a1ef2f7123974588",
    2_532: "4ca16478292f51477fc21328d4a70ff1",
    64_541: "b16ca6d71e2e792ef78155093ae795a6",
    64_542: "b3bc0991ac661443a583796ce582f11f",
    423_623: "6b0fce0c9c4bcbec4a210bd9d2c5b209",
}


@pytest.fixture(scope="module")
def table() -> dict[str, list[Any]]:
    """The benchmark's own table, sorted by hash."""
    columns = ["index", "module_hash", "num_vertices", "adjacency", "op_codes", "params"]
    found: dict[str, list[Any]] = pq.read_table(find_table("nasbench101.parquet"), columns=columns).to_pydict()
    return found


@pytest.fixture
def no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test fail if the table of all hashes is used."""

    def refuse() -> None:
        raise AssertionError("the table of all hashes was asked for")

    monkeypatch.setattr("naswot_ray.spaces.nasbench101.load_hashes", refuse)


CHAIN = [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


@cache
def operation_params(label: int, width: int) -> int:
    """The number of parameters of an operation that keeps `width` channels. A max pool has none."""
    options: dict[str, Any] = {"arch_id": "", "stem_channels": width, "num_stacks": 1, "cells_per_stack": 1}
    operation, pool = (build_network(CHAIN, ["input", op, "output"], **options).params for op in (OPS[label], "maxpool3x3"))
    return operation - pool


class TestTable:
    """The table has all 423,624 rows."""

    def test_hashes(self, nasbench101: NasBench101, table: dict[str, list[Any]]) -> None:
        assert sorted(nasbench101) == table["module_hash"]

    def test_benchmark_index_is_the_rank_by_hash(self, nasbench101: NasBench101, table: dict[str, list[Any]]) -> None:
        """The table of hashes is in the benchmark's order. A lookup in it takes too long to do it for every row."""
        assert table["index"] == list(range(len(nasbench101)))
        assert [nasbench101[index] for index in nasbench101._hashes().by_hash] == table["module_hash"]
        for rank in range(0, len(nasbench101), 100):
            assert nasbench101.benchmark_index(table["module_hash"][rank]) == rank

    def test_matrices_and_operations(self, nasbench101: NasBench101, table: dict[str, list[Any]]) -> None:
        index_of = {arch_id: index for index, arch_id in enumerate(nasbench101)}
        indices = [index_of[arch_id] for arch_id in table["module_hash"]]
        assert CELLS.num_vertices[indices].tolist() == table["num_vertices"]
        cells = [CELLS[start] for start in STARTS]
        adjacencies = {cell.bits: "".join(str(entry) for row in cell.matrix for entry in row) for cell in cells}
        assert [adjacencies[bits] for bits in CELLS.bits[indices].tolist()] == table["adjacency"]
        assert list(map(len, table["op_codes"])) == [num_vertices - 2 for num_vertices in table["num_vertices"]]
        assert CELLS.labels[indices].tolist() == [int(op_codes or "0", 3) for op_codes in table["op_codes"]]

    def test_params(self, nasbench101: NasBench101, table: dict[str, list[Any]]) -> None:
        """Check the parameters of every row.

        A matrix fixes all widths, so a graph's parameters are a sum over its vertices. One graph for each matrix, and the cost
        of each operation at each width, therefore give the parameters of all labelings of the matrix.
        `test_nasbench101_params` builds every graph.
        """
        expected = dict(zip(table["module_hash"], table["params"], strict=True))
        draw = random.Random(0)
        found: list[int] = []
        for start, stop in zip(STARTS, [*STARTS[1:], len(CELLS)], strict=True):
            cell = CELLS[start]
            interior = range(cell.num_vertices - 2)
            widths = [vertex_channels(cell, channels)[1:-1] for channels in (128, 256, 512)]  # one list for each stack
            costs = np.array([[3 * sum(operation_params(label, w[v]) for w in widths) for label in range(3)] for v in interior])
            digits = [CELLS.labels[start:stop] // 3 ** (len(interior) - 1 - v) % 3 for v in interior]
            sums = sum((costs[v][digits[v]] for v in interior), np.zeros(stop - start, int))
            drawn = draw.randrange(start, stop)
            found += (nasbench101.trained_network(nasbench101[drawn]).params + sums - sums[drawn - start]).tolist()
        assert dict(zip(nasbench101, found, strict=True)) == expected

    def test_params_of_graphs_of_their_own(self, nasbench101: NasBench101, table: dict[str, list[Any]]) -> None:
        for row in random.Random(1).sample(range(len(CELLS)), 1000):
            arch_id = table["module_hash"][row]
            assert nasbench101.trained_network(arch_id).params == table["params"][row], arch_id

    def test_architecture(self, nasbench101: NasBench101, table: dict[str, list[Any]]) -> None:
        for row in range(0, len(CELLS), 4001):
            cell = json.loads(nasbench101.architecture(table["module_hash"][row]))
            size = table["num_vertices"][row]
            flat = list(map(int, table["adjacency"][row]))
            assert cell["matrix"] == [flat[i * size : (i + 1) * size] for i in range(size)]
            assert cell["ops"] == ["input", *(OPS[int(code)] for code in table["op_codes"][row]), "output"]


class TestOrder:
    def test_first_cells(self, nasbench101: NasBench101) -> None:
        """Needs no file: the cell of two vertices, then input-operation-output with each operation."""
        assert len(nasbench101) == 423_624
        assert nasbench101.architecture(nasbench101[0]) == '{"matrix":[[0,1],[0,0]],"ops":["input","output"]}'
        assert [CELLS[i] for i in (1, 2, 3)] == [Cell(0b101, (label,)) for label in range(3)]

    def test_hashes_that_need_no_file(self) -> None:
        space = NasBench101()
        assert {index: space[index] for index in HASHES} == HASHES

    def test_index_is_the_inverse(self, nasbench101: NasBench101) -> None:
        for index in random.Random(1).sample(range(len(nasbench101)), 1000):
            assert nasbench101.index(nasbench101[index]) == index

    def test_iteration_follows_it(self, nasbench101: NasBench101) -> None:
        arch_ids = list(nasbench101)
        assert len(set(arch_ids)) == len(arch_ids) == 423_624
        for index in random.Random(2).sample(range(len(nasbench101)), 100):
            assert arch_ids[index] == hash_cell(CELLS[index])

    @pytest.mark.parametrize("index", [-1, 423_624])
    def test_outside(self, index: int) -> None:
        with pytest.raises(IndexError, match=rf"index {index} is outside of nasbench101 \(0..423623\)"):
            NasBench101()[index]


@pytest.mark.usefixtures("no_table")
class TestShard:
    """Scoring a range of the space does not need all hashes."""

    def test_hashes_only_its_own_cells(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hashed: list[Cell] = []

        def count(cell: Cell) -> str:
            hashed.append(cell)
            return hash_cell(cell)

        monkeypatch.setattr("naswot_ray.spaces.nasbench101.hash_cell", count)
        space = NasBench101()
        for index in range(1000, 1005):
            for arch_id in (space[index], space[index]):
                assert space.index(arch_id) == index
                assert space.network(arch_id).arch_id == space.trained_network(arch_id).arch_id == arch_id
                assert space.isomorphism_class(arch_id) == arch_id
                assert json.loads(space.architecture(arch_id))["ops"] == CELLS[index].ops
        assert hashed == [CELLS[index] for index in range(1000, 1005)]

    def test_neighbours_need_no_table(self) -> None:
        space = NasBench101()
        assert space.neighbours(space[1000])

    def test_malformed_hashes_need_no_table(self) -> None:
        space = NasBench101()
        for arch_id in ("", "0" * 31, "0" * 33, "A" * 32, "g" * 32, "0" * 32 + "\n", "|none~0|"):
            for read in (
                space.index,
                space.network,
                space.neighbours,
                space.isomorphism_class,
                space.architecture,
                space.benchmark_index,
                space.trained_network,
            ):
                message = re.escape(f"{arch_id!r} is not a module hash: expected 32 hexadecimal digits, lower case")
                with pytest.raises(ArchitectureError, match=message):
                    read(arch_id)


class TestPickle:
    """The space is sent to workers, and the hashes are not sent along."""

    def test_without_hashes(self) -> None:
        space = NasBench101(stem_channels=32)
        arch_id = space[5]
        copy = pickle.loads(pickle.dumps(space))
        assert copy[5] == arch_id
        assert copy.settings() == space.settings()
        assert copy.network(arch_id) == space.network(arch_id)

    def test_carries_the_hashes_and_stays_small(self, nasbench101: NasBench101, monkeypatch: pytest.MonkeyPatch) -> None:
        sent = pickle.dumps(nasbench101, protocol=pickle.HIGHEST_PROTOCOL)
        assert len(sent) < 15e6

        def refuse(*_: object) -> None:
            raise AssertionError("computed again")

        monkeypatch.setattr("naswot_ray.spaces.nasbench101.load_hashes", refuse)
        monkeypatch.setattr("naswot_ray.spaces.nasbench101.list_cells", refuse)
        monkeypatch.setattr("naswot_ray.spaces.nasbench101.hash_cell", refuse)
        copy = pickle.loads(sent)
        copy.prepare()
        assert [copy[i] for i in range(100)] == [nasbench101[i] for i in range(100)]
        assert copy.benchmark_index(copy[7]) == nasbench101.benchmark_index(copy[7])


class TestNeighbours:
    def test_are_those_that_the_benchmarks_code_finds(self, nasbench101: NasBench101) -> None:
        for index in [0, 1, 7, 90, *random.Random(3).sample(range(len(CELLS)), 20)]:
            cell, arch_id = CELLS[index], nasbench101[index]
            changed: list[tuple[list[list[int]], list[str]]] = []
            for x, y in combinations(range(cell.num_vertices), 2):
                matrix = cell.matrix
                matrix[x][y] = 1 - matrix[x][y]
                changed.append((matrix, cell.ops))
            for vertex in range(1, cell.num_vertices - 1):
                changed += [(cell.matrix, [*cell.ops[:vertex], op, *cell.ops[vertex + 1 :]]) for op in OPS]
            expected = {
                module_hash(*own)
                for own in (pruned(matrix, ops) for matrix, ops in changed)
                if own is not None and sum(map(sum, own[0])) <= MAX_EDGES
            } - {arch_id}
            neighbours = nasbench101.neighbours(arch_id)
            assert set(neighbours) == expected
            assert len(neighbours) == len(expected)
            assert neighbours == nasbench101.neighbours(arch_id)

    def test_changing_an_operation_goes_both_ways(self, nasbench101: NasBench101) -> None:
        """Flipping an edge back need not undo it: a vertex that a flip takes off every path does not come back."""
        arch_id = nasbench101[200_000]
        cell = CELLS[200_000]
        for other in nasbench101.neighbours(arch_id):
            there = CELLS[nasbench101.index(other)]
            assert there.num_vertices <= cell.num_vertices
            if there.bits == cell.bits:
                assert arch_id in nasbench101.neighbours(other)

    def test_of_the_smallest_cell(self, nasbench101: NasBench101) -> None:
        assert nasbench101.neighbours(nasbench101[0]) == []


class TestParameters:
    def test_settings(self) -> None:
        assert NasBench101().settings() == {
            "stem_channels": 16,
            "num_stacks": 3,
            "cells_per_stack": 3,
            "initialisation": "normal_fan_out",
        }
        assert get_space("nasbench101", stem_channels=128, cells_per_stack=1).settings() == {
            "stem_channels": 128,
            "num_stacks": 3,
            "cells_per_stack": 1,
            "initialisation": "normal_fan_out",
        }

    def test_from_the_command_line(self) -> None:
        spaces = open_spaces(["nasbench101", "nasbench201"], ["stem_channels=128", "num_stacks=2"])
        assert spaces["nasbench101"].settings()["stem_channels"] == 128
        assert spaces["nasbench101"].settings()["num_stacks"] == 2

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"stem_channels": 4}, "stem_channels=4: expected at least 5"),
            ({"stem_channels": 0}, "stem_channels=0: expected at least 5"),
            ({"num_stacks": 0}, "num_stacks=0: expected at least 1"),
            ({"cells_per_stack": -1}, "cells_per_stack=-1: expected at least 1"),
            ({"cells_per_stack": 10**9}, "cells_per_stack=1000000000: expected at most 100"),
            ({"num_stacks": 10**9}, "num_stacks=1000000000: expected at most 100"),
            ({"stem_channels": 10**9}, "stem_channels=1000000000: expected at most 100,000"),
        ],
    )
    def test_out_of_range(self, parameters: dict[str, int], message: str) -> None:
        with pytest.raises(SettingsError, match=message):
            NasBench101(**parameters)

    def test_smallest_stem_serves_every_split(self) -> None:
        """Five branches of one channel each."""
        matrix = [[0, 1, 1, 1, 1, 1, 0], *([0] * 6 + [1] for _ in range(5)), [0] * 7]
        ops = ["input", *[OPS[0]] * 5, "output"]
        assert build_network(matrix, ops, arch_id="five", stem_channels=5).num_relus == 1 + 9 * 10

    def test_decide_the_network_but_not_the_trained_one(self) -> None:
        narrow, wide = NasBench101(), NasBench101(stem_channels=128, num_stacks=2, cells_per_stack=1)
        arch_id = narrow[50]
        assert wide[50] == arch_id
        assert narrow.trained_network(arch_id) == wide.trained_network(arch_id)
        assert wide.network(arch_id).num_layers < narrow.network(arch_id).num_layers
        assert NasBench101(stem_channels=128).network(arch_id) == narrow.trained_network(arch_id)


class TestSpecs:
    """Cells that people have as a matrix with operations."""

    @given(st.data())
    def test_any_relabelling_gives_the_benchmarks_own_cell(self, nasbench101: NasBench101, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(CELLS) - 1))
        cell = data.draw(relabelled(CELLS[index]))
        assert nasbench101.arch_id_of((cell.matrix, cell.ops)) == nasbench101[index]

    @given(st.data())
    def test_as_the_benchmark_prunes_and_hashes(self, nasbench101: NasBench101, data: st.DataObject) -> None:
        matrix = data.draw(matrices(8))
        ops = data.draw(operations(matrix))
        expected = pruned(matrix, ops)
        if expected is None:
            with pytest.raises(ArchitectureError, match="no path leads from the input vertex to the output vertex"):
                nasbench101.arch_id_of((matrix, ops))
        elif len(expected[1]) > MAX_VERTICES or sum(map(sum, expected[0])) > MAX_EDGES:
            with pytest.raises(
                ArchitectureError, match="on paths from input to output: expected at most 7 vertices and 9 edges"
            ):
                nasbench101.arch_id_of((matrix, ops))
        else:
            arch_id = nasbench101.arch_id_of((matrix, ops))
            assert arch_id == module_hash(*expected) == nasbench101[nasbench101.index(arch_id)]

    def test_notations(self, nasbench101: NasBench101) -> None:
        matrix = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]  # vertex 2 leads nowhere
        ops = ["input", OPS[1], OPS[0], "output"]
        for spec in (
            (matrix, ops),
            [np.array(matrix), tuple(ops)],
            ModelSpec(np.array(matrix), list(ops)),
            SimpleNamespace(matrix=matrix, ops=ops),
            {"matrix": np.array(matrix, np.int8), "ops": ops},
            {"module_adjacency": np.array(matrix), "module_operations": ops, "trainable_parameters": 1},
            json.loads(nasbench101.architecture(nasbench101[2])),
        ):
            assert nasbench101.arch_id_of(spec) == nasbench101[2]

    def test_needs_no_table_of_hashes(self, no_table: None) -> None:
        assert NasBench101().arch_id_of((CHAIN, ["input", OPS[0], "output"])) == HASHES[1]

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            (
                (CHAIN, ["input", "conv5x5", "output"]),
                "unknown operation 'conv5x5' of vertex 1, expected one of conv3x3-bn-relu",
            ),
            ((CHAIN, ["input", "output"]), "2 operations for 3 vertices, expected one per vertex"),
            ((CHAIN, ["output", OPS[0], "input"]), "expected 'input' first and 'output' last"),
            ((CHAIN, "input output"), "operations 'input output': expected a list of names"),
            ((CHAIN[1:], ["input", "output"]), "row 0 of the matrix has 3 entries, expected 2"),
            (
                (np.array(CHAIN).T, ["input", OPS[0], "output"]),
                "edge from vertex 1 to vertex 0: the matrix must be upper triang",
            ),
            (([[0, 2], [0, 0]], ["input", "output"]), r"entry \(0, 1\) of the matrix is 2, expected 0 or 1"),
            (([[0, 0], [0, 0]], ["input", "output"]), "no path leads from the input vertex to the output vertex"),
            (([0, 1], ["input", "output"]), r"matrix \[0, 1\]: expected a list of rows"),
            ((np.zeros((2, 2, 2)), ["input", "output"]), r"entry \(0, 0\) of the matrix is \[0.0, 0.0\], expected 0 or 1"),
            ((None, None), "matrix None: expected a list of rows"),
            (([], []), "a matrix of 0 rows"),
            (SimpleNamespace(matrix=None, ops=None, valid_spec=False), "no path leads from the input vertex"),
            ({"matrix": CHAIN}, "expected a module hash, the rank of the hash in the benchmark, a pair"),
            ((CHAIN, [], {}), "expected a module hash"),
        ],
    )
    def test_refusals(self, spec: Any, message: str) -> None:
        with pytest.raises(ArchitectureError, match=message):
            NasBench101().arch_id_of(spec)

    def test_limits_are_of_the_pruned_cell(self, nasbench101: NasBench101) -> None:
        wide = [[int(x < y) for y in range(8)] for x in range(8)]
        with pytest.raises(ArchitectureError, match="8 vertices and 28 edges are on paths from input to output"):
            nasbench101.arch_id_of((wide, ["input", *[OPS[0]] * 6, "output"]))
        direct = [[int(y == 7 or x < y < 7) if x == 0 else int(x < y < 7) for y in range(8)] for x in range(8)]
        assert nasbench101.arch_id_of((direct, ["input", *[OPS[0]] * 6, "output"])) == nasbench101[0]


def test_not_in_the_space(nasbench101: NasBench101) -> None:
    for read in (nasbench101.index, nasbench101.network, nasbench101.benchmark_index, nasbench101.isomorphism_class):
        with pytest.raises(ArchitectureError, match=r"'0{32}' is not the module hash of one of the 423,624 cells"):
            read("0" * 32)


def test_table_is_shared_by_the_cache(nasbench101: NasBench101, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second space computes nothing again, in this process or in another."""

    def refuse(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(nasbench101_hashes, "compute_digests", refuse)
    other = NasBench101(stem_channels=128)
    assert other.index(nasbench101[300_000]) == 300_000
