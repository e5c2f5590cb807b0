"""NAS-Bench-201: the official order, the benchmark's own figures, and messages about malformed strings."""

from __future__ import annotations

import itertools
import random
import re
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from naswot_ray.errors import ArchitectureError, NaswotError
from naswot_ray.spaces import get_space
from naswot_ray.spaces.nasbench201 import OPS, arch_string, in_order, parse
from tests.data import find_table

SPACE = get_space("nasbench201")
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
ARCH_IDS = frozenset(SPACE)
operations = st.lists(st.sampled_from(OPS), min_size=6, max_size=6)


@pytest.fixture(scope="module")
def table() -> dict[str, list[Any]]:
    """The benchmark's own table, in its own order."""
    columns = ["arch_index", "arch_str", "isomorphism_str", "cifar10_params", "cifar100_params", "imagenet16_params"]
    found: dict[str, list[Any]] = pq.read_table(find_table("nasbench201.parquet"), columns=columns).to_pydict()
    return found


class TestOrder:
    def test_first_and_last_ids(self) -> None:
        """The order in which the benchmark lists them; needs no file."""
        assert len(SPACE) == 15_625
        assert SPACE[0] == "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
        assert SPACE[6111] == "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
        assert SPACE[15624] == "|nor_conv_1x1~0|+|none~0|nor_conv_1x1~1|+|none~0|nor_conv_1x1~1|nor_conv_1x1~2|"

    def test_is_the_official_one(self, table: dict[str, list[Any]]) -> None:
        assert table["arch_index"] == list(range(15_625))
        assert list(SPACE) == table["arch_str"]

    def test_holds_every_cell_once(self) -> None:
        assert set(SPACE) == {arch_string(ops) for ops in itertools.product(OPS, repeat=6)}

    def test_index_is_the_inverse(self) -> None:
        assert [SPACE.index(arch_id) for arch_id in SPACE] == list(range(15_625))

    @pytest.mark.parametrize("index", [-1, 15_625])
    def test_outside(self, index: int) -> None:
        with pytest.raises(IndexError, match=rf"index {index} is outside of nasbench201 \(0..15624\)"):
            SPACE[index]


class TestIsomorphism:
    def test_classes_are_the_benchmarks(self, table: dict[str, list[Any]]) -> None:
        assert [SPACE.isomorphism_class(arch_id) for arch_id in SPACE] == table["isomorphism_str"]

    def test_number_of_classes(self) -> None:
        assert len({SPACE.isomorphism_class(arch_id) for arch_id in SPACE}) == 6_466


class TestCost:
    def test_params_are_the_benchmarks(self, table: dict[str, list[Any]]) -> None:
        """Check the parameters of every row.

        An edge's parameters depend only on its operation, so a cell's are a sum over its edges. The graph of the empty cell and
        24 graphs with one operation on one edge therefore give the parameters of all cells.
        """
        empty = ["none"] * 6
        base = _params(empty)
        added = [{op: _params([*empty[:edge], op, *empty[edge + 1 :]]) - base for op in OPS} for edge in range(6)]
        sums = [base + sum(added[edge][op] for edge, op in enumerate(_operations(arch_id))) for arch_id in SPACE]
        assert sums == table["cifar10_params"]

    def test_params_of_graphs_of_their_own(self, table: dict[str, list[Any]]) -> None:
        for index in range(0, 15_625, 11):
            assert SPACE.network(SPACE[index]).params == table["cifar10_params"][index], SPACE[index]

    @pytest.mark.parametrize(("column", "num_classes"), [("cifar100_params", 100), ("imagenet16_params", 120)])
    def test_params_of_other_classifiers(self, table: dict[str, list[Any]], column: str, num_classes: int) -> None:
        for index in range(0, 15_625, 625):
            assert SPACE.network(SPACE[index], num_classes=num_classes).params == table[column][index]

    @pytest.mark.parametrize(
        ("index", "params", "mega_flops"), [(0, 129306, 15.64737), (11, 802426, 113.95137), (284, 101306, 11.71521)]
    )
    def test_figures_of_nats_bench(self, index: int, params: int, mega_flops: float) -> None:
        """The fields `params` and `flops` (in millions) of NATS-Bench TSS, CIFAR-10."""
        network = SPACE.network(SPACE[index])
        assert network.params == params
        assert network.flops == round(mega_flops * 1e6)

    def test_smaller_images_cost_a_quarter(self) -> None:
        """ImageNet16-120 has images of 16 x 16 pixels."""
        network = SPACE.network(CELL, input_shape=(3, 16, 16))
        convolutions = SPACE.network(CELL).flops - (64 * 10 + 10)
        assert network.flops == convolutions // 4 + (64 * 10 + 10)
        assert network.params == SPACE.network(CELL).params

    def test_num_layers(self) -> None:
        """Stem, two residual blocks of three convolutions, classifier, and 15 cells with two convolutions."""
        assert SPACE.network(CELL).num_layers == 1 + 2 * 3 + 1 + 15 * 2


# Units outside the cells for one image: two residual blocks (two ReLU-Conv-BNs each) and the last ReLU.
RESIDUAL_UNITS = 16 * 32 * 32 + 32 * 16 * 16 + 32 * 16 * 16 + 64 * 8 * 8
LAST_UNITS = 64 * 8 * 8
# Units of an edge that is one ReLU-Conv-BN: five cells in each of three stages.
EDGE_UNITS = 5 * (16 * 32 * 32 + 32 * 16 * 16 + 64 * 8 * 8)


class TestLiveness:
    @pytest.mark.parametrize(
        ("arch_id", "live_edges"),
        [
            pytest.param("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", 0, id="nothing"),
            pytest.param("|skip_connect~0|+|avg_pool_3x3~0|none~1|+|none~0|none~1|skip_connect~2|", 0, id="no convolution"),
            pytest.param("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|", 1, id="upstream of none"),
            pytest.param("|none~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|none~0|none~1|nor_conv_1x1~2|", 3, id="downstream of none"),
            pytest.param(
                "|nor_conv_1x1~0|+|nor_conv_1x1~0|nor_conv_1x1~1|+|none~0|none~1|none~2|", 3, id="all upstream of none"
            ),
            pytest.param(arch_string(["nor_conv_3x3"] * 6), 6, id="all"),
            pytest.param(
                "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~0|nor_conv_3x3~1|",
                3,
                id="literal indices leave node 2 dead",
            ),
            pytest.param("|nor_conv_3x3~0|+|none~0|none~0|+|none~0|none~0|none~0|", 0, id="literal indices leave node 1 dead"),
        ],
    )
    def test_counts(self, arch_id: str, live_edges: int) -> None:
        """Every ReLU of a ReLU-Conv-BN counts twice in the published code, and the last ReLU once."""
        network = SPACE.network(arch_id)
        assert network.num_relus == 5 + 15 * live_edges
        assert network.num_units_paper == RESIDUAL_UNITS + LAST_UNITS + live_edges * EDGE_UNITS
        assert network.num_units == 2 * RESIDUAL_UNITS + LAST_UNITS + 2 * live_edges * EDGE_UNITS

    def test_published_counts(self) -> None:
        """N_A of three cells as the published code counts it."""
        assert SPACE.network(arch_string(["none"] * 6)).num_units == 77_824
        assert SPACE.network(arch_string(["nor_conv_3x3"] * 6)).num_units == 1_798_144
        assert SPACE.network("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|").num_units == 364_544

    def test_classifier_has_no_influence(self) -> None:
        assert SPACE.network(CELL, num_classes=120).plan == SPACE.network(CELL).plan


class TestNeighbours:
    def test_are_one_edge_away(self) -> None:
        neighbours = SPACE.neighbours(CELL)
        assert len(neighbours) == len(set(neighbours)) == 24
        for other in neighbours:
            SPACE.index(other)
            different = [pair for pair in zip(_operations(CELL), _operations(other), strict=True) if pair[0] != pair[1]]
            assert len(different) == 1
        assert SPACE.neighbours(CELL) == neighbours

    @settings(max_examples=100, deadline=None)
    @given(operations)
    def test_are_symmetric(self, ops: list[str]) -> None:
        arch_id = arch_string(ops)
        assert all(arch_id in SPACE.neighbours(other) for other in SPACE.neighbours(arch_id))

    def test_of_a_cell_that_is_not_in_the_space(self) -> None:
        with pytest.raises(ArchitectureError, match="is not one of the 15,625 cells"):
            SPACE.neighbours("|none~0|+|none~0|none~0|+|none~0|none~1|none~2|")


def _params(ops: list[str]) -> int:
    return SPACE.network(arch_string(ops)).params


def _operations(arch_id: str) -> list[str]:
    return [op for node in parse(arch_id) for op, _ in node]


class TestParse:
    def test_reads_edges_literally(self) -> None:
        assert parse("|none~0|+|skip_connect~1|skip_connect~0|+|nor_conv_1x1~2|nor_conv_3x3~2|avg_pool_3x3~0|") == (
            (("none", 0),),
            (("skip_connect", 1), ("skip_connect", 0)),
            (("nor_conv_1x1", 2), ("nor_conv_3x3", 2), ("avg_pool_3x3", 0)),
        )

    @given(operations)
    def test_round_trip(self, ops: list[str]) -> None:
        arch_id = arch_string(ops)
        assert _operations(arch_id) == ops
        assert [[source for _, source in node] for node in parse(arch_id)] == [[0], [0, 1], [0, 1, 2]]
        assert SPACE[SPACE.index(arch_id)] == arch_id

    @pytest.mark.parametrize(
        ("arch_id", "message"),
        [
            ("", "'': 1 node groups, expected 3 joined by '+', as in '|skip_connect~0|+|skip_connect~0|"),
            ("|none~0|+|none~0|none~1|", "2 node groups, expected 3 joined by '+'"),
            (CELL + "+|none~0|", "4 node groups, expected 3 joined by '+'"),
            (
                CELL.replace("|nor_conv_3x3~0|+", "nor_conv_3x3~0|+"),
                "group 'nor_conv_3x3~0|' of node 1 must begin and end with '|'",
            ),
            (CELL + "\n", "of node 3 must begin and end with '|'"),
            (CELL.replace("|nor_conv_3x3~0|+", "|+"), "group '|' of node 1 must begin and end with '|'"),
            (CELL.replace("|none~0|skip_connect~1|", "|none~0|"), "node 2 has 1 edges, expected 2"),
            (CELL.replace("none~2|", "none~2|none~2|"), "node 3 has 4 edges, expected 3"),
            (CELL.replace("none~2", "none"), "edge 'none' of node 3 has no '~', expected 'op~input'"),
            (
                CELL.replace("nor_conv_3x3", "nor_conv_5x5"),
                "unknown operation 'nor_conv_5x5' in edge 'nor_conv_5x5~0', expected one of "
                "none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3",
            ),
            (CELL.replace("none~2", "none~3"), "edge 'none~3' of node 3 must come from one of the nodes 0..2"),
            (CELL.replace("none~2", "none~-1"), "edge 'none~-1' of node 3 must come from one of the nodes 0..2"),
            (CELL.replace("none~2", "none~02"), "edge 'none~02' of node 3 must come from one of the nodes 0..2"),
            (CELL.replace("none~2", "none~"), "edge 'none~' of node 3 must come from one of the nodes 0..2"),
            (CELL.replace("none~2", "none~²"), "edge 'none~²' of node 3 must come from one of the nodes 0..2"),
            (
                CELL.replace("nor_conv_3x3~0", "nor_conv_3x3~1"),
                "edge 'nor_conv_3x3~1' of node 1 must come from one of the nodes 0..0",
            ),
        ],
    )
    def test_malformed(self, arch_id: str, message: str) -> None:
        """Each message names the string, the part and what would be right. Building, finding and neighbours say the same."""
        for call in (parse, SPACE.index, SPACE.network, SPACE.neighbours, SPACE.isomorphism_class):
            with pytest.raises(ArchitectureError, match=re.escape(message)) as caught:
                call(arch_id)
            assert str(caught.value).startswith(f"{arch_id!r}: ")
            assert "\n" not in str(caught.value)

    def test_well_formed_but_not_in_the_space(self) -> None:
        """Only building takes it."""
        arch_id = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~0|nor_conv_3x3~1|"
        message = r"node n takes one edge from each of the nodes 0\.\.n-1 \(`space.network` builds it all the same\)"
        for call in (SPACE.index, SPACE.arch_id_of, SPACE.neighbours, SPACE.architecture, SPACE.benchmark_index):
            with pytest.raises(ArchitectureError, match=message):
                call(arch_id)
        assert SPACE.network(arch_id).arch_id == arch_id

    @settings(max_examples=500)
    @given(st.one_of(st.text(), st.text(alphabet="|+~012 nonesk_cvpagxr")))
    def test_garbage_is_named_as_such(self, text: str) -> None:
        assume(text not in ARCH_IDS)
        with pytest.raises(ArchitectureError):
            SPACE.index(text)

    @settings(max_examples=500)
    @given(operations, st.data())
    def test_damaged_strings_raise_nothing_else(self, ops: list[str], data: st.DataObject) -> None:
        """If one character is removed, added or replaced, the result is still a cell, or an ArchitectureError."""
        arch_id = arch_string(ops)
        at = data.draw(st.integers(0, len(arch_id)))
        damaged = arch_id[:at] + data.draw(st.text(max_size=2)) + arch_id[at + data.draw(st.integers(0, 2)) :]
        try:
            cell = parse(damaged)
        except ArchitectureError:
            return
        assert [len(node) for node in cell] == [1, 2, 3]
        assert all(op in OPS and source <= k for k, node in enumerate(cell) for op, source in node)


SHUFFLED = "|nor_conv_3x3~0|+|nor_conv_1x1~1|nor_conv_3x3~0|+|nor_conv_3x3~2|skip_connect~0|nor_conv_1x1~1|"


class TestEdgesInAnotherOrder:
    """They are the same cell, whose arch_id is the benchmark's string."""

    def test_an_example(self) -> None:
        own = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|"
        assert in_order(SHUFFLED) == SPACE.arch_id_of(SHUFFLED) == own

    @given(operations, st.randoms(use_true_random=False))
    def test_whatever_looks_a_cell_up_takes_them_alike(self, ops: list[str], draw: random.Random) -> None:
        arch_id = arch_string(ops)
        nodes = [group[1:-1].split("|") for group in arch_id.split("+")]
        for node in nodes:
            draw.shuffle(node)
        shuffled = "+".join(f"|{'|'.join(node)}|" for node in nodes)
        assert SPACE.arch_id_of(shuffled) == SPACE.architecture(shuffled) == arch_id
        assert SPACE.index(shuffled) == SPACE.benchmark_index(shuffled) == SPACE.index(arch_id)
        assert SPACE.neighbours(shuffled) == SPACE.neighbours(arch_id)
        assert SPACE.isomorphism_class(shuffled) == SPACE.isomorphism_class(arch_id)

    def test_a_network_is_built_as_it_is_written(self) -> None:
        """The published code adds the edges of a node, and numbers the layers, in the order of the string."""
        network, own = SPACE.network(SHUFFLED), SPACE.network(SPACE.arch_id_of(SHUFFLED))
        assert network.arch_id == SHUFFLED
        assert network.num_units == own.num_units == 1_511_424
        assert (network.params, network.flops) == (own.params, own.flops)
        kernels = [[layer.weight_shape[2] for layer in one.layers[1:6]] for one in (network, own)]
        assert kernels == [[3, 1, 3, 3, 1], [3, 3, 1, 1, 3]]


class TestNaslib:
    def test_examples(self) -> None:
        """`convert_op_indices_to_str` of NASLib, by hand: edges (0,1), (0,2), (0,3), (1,2), (1,3), (2,3)."""
        expected = "|avg_pool_3x3~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_3x3~2|"
        for numbers in ((4, 0, 3, 1, 4, 2), [4, 0, 3, 1, 4, 2], np.array([4, 0, 3, 1, 4, 2]), map_of_numpy(4, 0, 3, 1, 4, 2)):
            assert SPACE.arch_id_of(numbers) == expected

    def test_every_cell(self) -> None:
        """Through `convert_str_to_op_indices` of NASLib (naslib/search_spaces/nasbench201/conversions.py)."""
        assert [SPACE.arch_id_of(naslib_numbers(arch_id)) for arch_id in SPACE] == list(SPACE)
        assert len({naslib_numbers(arch_id) for arch_id in SPACE}) == 15_625

    @pytest.mark.parametrize(
        "numbers",
        [(0,) * 5, (0,) * 7, (0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 4, -1), (0, 1, 2, 3, 4, 1.0), (0, 1, 2, 3, 4, True), [[0] * 6]],
    )
    def test_other_numbers(self, numbers: Any) -> None:
        message = (
            "expected six operation numbers of NASLib, which are 0 skip_connect, 1 none, 2 nor_conv_3x3, 3 nor_conv_1x1, 4 av"
        )
        with pytest.raises(ArchitectureError, match=message):
            SPACE.arch_id_of(numbers)

    def test_names_are_ambiguous(self) -> None:
        with pytest.raises(ArchitectureError, match="six names do not say which edge each is of"):
            SPACE.arch_id_of(["none", "skip_connect", *["nor_conv_3x3"] * 4])


def map_of_numpy(*numbers: int) -> list[Any]:
    return [np.int64(number) for number in numbers]


def naslib_numbers(arch_id: str) -> tuple[int, ...]:
    """NASLib's numbers of a cell, computed as NASLib does."""
    names = ["skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3"]
    nodes = [[edge.split("~")[0] for edge in group.strip()[1:-1].split("|")] for group in arch_id.split("+")]
    return tuple(names.index(nodes[v - 2][u - 1]) for u, v in ((1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)))


def test_settings_are_json_values() -> None:
    assert SPACE.settings() == {"channels": [16, 32, 64], "cells_per_stage": 5, "initialisation": "kaiming_uniform"}


def test_unknown_space() -> None:
    with pytest.raises(
        NaswotError, match=r"^unknown space 'x{80}'; there are"
    ):  # comparing it with others takes quadratic time
        get_space("x" * 10**6)
    with pytest.raises(NaswotError, match=r"unknown space 'nasbench2O1'; there are: .*did you mean nasbench201"):
        get_space("nasbench2O1")
