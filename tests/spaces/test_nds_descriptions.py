"""NDS networks found by what people have of them: the `net` of a record, a genotype, the stages of an AnyNet."""

from __future__ import annotations

import copy
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naswot_ray.errors import ArchitectureError
from naswot_ray.spaces.nds import NdsSpace
from tests.spaces.nds_files import ANYNET, CELL_NET, nds_record, write_nds_json

Genotype = namedtuple("Genotype", "normal normal_concat reduce reduce_concat")
"""As the published code declares it."""


def cell_net(op: str = "sep_conv_3x3", **more: Any) -> dict[str, Any]:
    net = copy.deepcopy(dict(CELL_NET)) | more
    net["genotype"]["normal"][2][0] = op
    return net


CELL_NETS = [
    cell_net(),
    cell_net(width=32, depth=11),
    cell_net(width=32, depth=11, aux=True),
    cell_net("conv_1x1"),
    cell_net("conv_3x3"),
    cell_net("conv_3x3"),
]
"""0, 1 and 2 share a genotype; 3 is alone; 4 and 5 are trainings of one network."""

ANYNETS: list[dict[str, Any]] = [
    dict(ANYNET),
    {**ANYNET, "num_gs": [4, 8, 8]},
    {**ANYNET, "ds": [2, 4, 2]},
]
PLAIN_NETS: list[dict[str, Any]] = [
    {"block_type": "double_plain_block", "ds": [1, 2], "ws": [16, 32], "ss": [1, 2], "bot_muls": None},
    {"block_type": "double_plain_block", "ds": [2, 2], "ws": [16, 32], "ss": [1, 2]},
]


def opened(folder: Path, family: str, nets: list[dict[str, Any]]) -> NdsSpace:
    return NdsSpace(family, str(write_nds_json(folder, family, [nds_record(net) for net in nets])))


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> NdsSpace:
    return opened(tmp_path_factory.mktemp("cells"), "DARTS", CELL_NETS)


@pytest.fixture(scope="module")
def anynets(tmp_path_factory: pytest.TempPathFactory) -> NdsSpace:
    return opened(tmp_path_factory.mktemp("anynets"), "ResNeXt-A", ANYNETS)


def published(net: dict[str, Any]) -> Genotype:
    """The genotype of a network as the published code has it: tuples, and a range where the states are consecutive."""
    genotype = net["genotype"]
    edges = {kind: [tuple(edge) for edge in genotype[kind]] for kind in ("normal", "reduce")}
    concat = genotype["normal_concat"]
    return Genotype(edges["normal"], range(concat[0], concat[-1] + 1), edges["reduce"], genotype["reduce_concat"])


def refusal(space: NdsSpace, description: object) -> str:
    with pytest.raises(ArchitectureError) as caught:
        space.arch_id_of(description)
    return str(caught.value)


class TestCells:
    def test_the_net_of_a_record(self, cells: NdsSpace) -> None:
        for index in range(4):
            assert cells.arch_id_of(CELL_NETS[index]) == cells[index]

    def test_a_genotype_that_one_record_has(self, cells: NdsSpace) -> None:
        genotype = published(CELL_NETS[3])
        for description in (
            genotype,
            genotype._asdict(),
            CELL_NETS[3]["genotype"],
            {"genotype": genotype},
            {"genotype": CELL_NETS[3]["genotype"], "depth": 8},
            {**genotype._asdict(), "width": 16},
        ):
            assert cells.arch_id_of(description) == cells[3]

    def test_a_genotype_that_several_records_have(self, cells: NdsSpace) -> None:
        genotype = published(CELL_NETS[0])
        assert refusal(cells, genotype) == (
            "3 architectures of nds_darts have this genotype, and differ in aux (False or True) and depth (8 or 11) and "
            "width (16 or 32): give that too"
        )
        shared = genotype._asdict() | {"width": np.int64(32)}
        assert refusal(cells, shared) == (
            "2 architectures of nds_darts have this genotype and width 32, and differ in aux (False or True): give that too"
        )
        assert cells.arch_id_of(shared | {"aux": True}) == cells[2]
        assert cells.arch_id_of(shared | {"aux": False, "depth": 11}) == cells[1]
        assert cells.arch_id_of({"genotype": genotype, "width": 16}) == cells[0]

    def test_trainings_of_one_network(self, cells: NdsSpace) -> None:
        message = (
            f"2 architectures of nds_darts have this genotype; they are trainings of one network: give the arch_id "
            f"({cells[4]}, {cells[5]}) or the position in the file"
        )
        assert refusal(cells, published(CELL_NETS[4])) == message
        assert refusal(cells, CELL_NETS[4]).startswith("2 architectures of nds_darts have this genotype and aux False and ")
        assert cells.arch_id_of(5) == cells[5]

    def test_a_value_that_no_such_record_has(self, cells: NdsSpace) -> None:
        genotype = published(CELL_NETS[0])
        assert refusal(cells, {"genotype": genotype, "width": 20}) == (
            "width 20: the architectures of nds_darts with this genotype have width 16 or 32"
        )
        assert refusal(cells, {"genotype": genotype, "aux": True, "width": 16}) == (
            "width 16: the architectures of nds_darts with this genotype and aux True have width 32"
        )
        assert refusal(cells, {"genotype": genotype, "channels": 16}) == (
            "channels 16: the architectures of nds_darts with this genotype have channels None"
        )

    def test_a_genotype_that_no_record_has(self, cells: NdsSpace) -> None:
        message = "none of the 6 architectures of nds_darts in the file that was opened has this genotype"
        for description in (cell_net("max_pool_9x9"), published(cell_net("conv_7x1_1x7"))):
            assert refusal(cells, description) == message

    def test_the_order_of_the_edges_counts(self, cells: NdsSpace) -> None:
        """It numbers the layers, and the numbers key their weights."""
        net = cell_net("conv_1x1")
        net["genotype"]["normal"][2:] = net["genotype"]["normal"][:1:-1]
        assert "has this genotype" in refusal(cells, net)

    @pytest.mark.parametrize("key", ["normal", "normal_concat", "reduce", "reduce_concat"])
    def test_a_part_of_a_genotype(self, cells: NdsSpace, key: str) -> None:
        part = {name: value for name, value in CELL_NETS[0]["genotype"].items() if name != key}
        for description in (part, {"genotype": part, "width": 16}):
            message = refusal(cells, description)
            assert f" has no {key}: nds_darts takes the normal, normal_concat, reduce, reduce_concat of a genotype" in message

    @pytest.mark.parametrize("description", [{}, {"genotype": None}, {"genotype": "DARTS"}, {"width": 16}, ANYNET])
    def test_what_is_no_genotype(self, cells: NdsSpace, description: object) -> None:
        assert " has no normal, normal_concat, reduce, reduce_concat: nds_darts takes the" in refusal(cells, description)

    def test_values_that_are_not_json(self, cells: NdsSpace) -> None:
        for value in ({1, 2}, float("nan")):
            genotype = CELL_NETS[0]["genotype"] | {"reduce_concat": value}
            assert " is not a genotype of nds_darts: " in refusal(cells, genotype)

    def test_long_lists_are_cut(self, tmp_path: Path) -> None:
        space = opened(tmp_path, "DARTS", [cell_net(depth=depth) for depth in range(1, 10)])
        assert "depth (1 or 2 or 3 or 4 or 5 or 4 others): give that too" in refusal(space, published(CELL_NETS[0]))


class TestAnyNets:
    def test_the_net_of_a_record(self, anynets: NdsSpace) -> None:
        for index, net in enumerate(ANYNETS):
            assert anynets.arch_id_of(net) == anynets[index]

    def test_stages(self, anynets: NdsSpace) -> None:
        stages = {"ds": (2, 4, 2), "ws": np.array([16, 48, 120]), "ss": [1, 2, 2]}
        assert anynets.arch_id_of(stages) == anynets[2]
        message = refusal(anynets, stages | {"ds": [1, 4, 2]})
        assert message.startswith("2 architectures of nds_resnext-a have these ds, ws, ss, and differ in num_gs ")
        assert message.endswith(" ([1, 2, 4] or [4, 8, 8]): give that too")
        assert anynets.arch_id_of(stages | {"ds": [1, 4, 2], "num_gs": [4, 8, 8]}) == anynets[1]

    def test_both_names_of_a_key(self, anynets: NdsSpace) -> None:
        net = {key: value for key, value in ANYNETS[1].items() if key not in ("bot_muls", "num_gs")}
        assert anynets.arch_id_of(net | {"bms": [1, 2, 4], "gws": [4, 8, 8]}) == anynets[1]

    @pytest.mark.parametrize("empty", [{}, {"bot_muls": None}, {"bot_muls": [], "gws": []}])
    def test_no_bottlenecks(self, tmp_path: Path, empty: dict[str, Any]) -> None:
        """Null, an empty list and no entry are the same."""
        space = opened(tmp_path, "Vanilla", PLAIN_NETS)
        for index, net in enumerate(PLAIN_NETS):
            stages = {key: net[key] for key in ("ds", "ws", "ss")}
            assert space.arch_id_of(stages | empty) == space[index]
        assert refusal(space, stages | {"bot_muls": [1, 1]}) == (
            "bot_muls [1, 1]: the architectures of nds_vanilla with these ds, ws, ss have bot_muls []"
        )

    def test_a_part(self, anynets: NdsSpace) -> None:
        message = refusal(anynets, {"ds": [1, 4, 2]})
        assert message == "{'ds': [1, 4, 2]} has no ws, ss: nds_resnext-a takes the ds, ws, ss of an AnyNet"
        assert "has no ds, ws, ss" in refusal(anynets, CELL_NET)


@given(st.data())
def test_every_record_is_found_by_its_net(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Of any networks: found if it is the only one, named among the others if not."""
    depths = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    nets = [cell_net(depth=depth) for depth in depths]
    space = opened(tmp_path_factory.mktemp("any"), "DARTS", nets)
    for index, net in enumerate(nets):
        if depths.count(depths[index]) == 1:
            assert space.arch_id_of(net) == space[index]
        else:
            assert space[index] in refusal(space, net)
