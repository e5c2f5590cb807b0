"""The graphs of NDS' cell networks, compared with torch modules with autograd."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from naswot_ray.engines.score import score_with_weights
from naswot_ray.errors import ArchitectureError
from naswot_ray.network import Network, NetworkBuilder, ops
from naswot_ray.spaces import nds_cells
from naswot_ray.spaces.nds import build_network
from tests.network.oracle import measure
from tests.spaces import nds_modules

DARTS = {
    "normal": [["sep_conv_3x3", 0], ["sep_conv_3x3", 1], ["skip_connect", 0], ["dil_conv_3x3", 2]],
    "normal_concat": [2, 3],
    "reduce": [["max_pool_3x3", 0], ["sep_conv_5x5", 1], ["skip_connect", 1], ["skip_connect", 2]],
    "reduce_concat": [2, 3],
}
DARTS_V2 = {
    "normal": [
        ["sep_conv_3x3", 0],
        ["sep_conv_3x3", 1],
        ["sep_conv_3x3", 0],
        ["sep_conv_3x3", 1],
        ["sep_conv_3x3", 1],
        ["skip_connect", 0],
        ["skip_connect", 0],
        ["dil_conv_3x3", 2],
    ],
    "normal_concat": [2, 3, 4, 5],
    "reduce": [
        ["max_pool_3x3", 0],
        ["max_pool_3x3", 1],
        ["skip_connect", 2],
        ["max_pool_3x3", 1],
        ["max_pool_3x3", 0],
        ["skip_connect", 2],
        ["skip_connect", 2],
        ["max_pool_3x3", 1],
    ],
    "reduce_concat": [2, 3, 4, 5],
}
PUBLISHED_OPERATIONS = {
    "none": 0,
    "avg_pool_2x2": 0,
    "avg_pool_3x3": 0,
    "avg_pool_5x5": 0,
    "max_pool_2x2": 0,
    "max_pool_3x3": 0,
    "max_pool_5x5": 0,
    "max_pool_7x7": 0,
    "skip_connect": 0,
    "conv_1x1": 1,
    "conv_3x3": 1,
    "sep_conv_3x3": 2,
    "sep_conv_5x5": 2,
    "sep_conv_7x7": 2,
    "dil_conv_3x3": 1,
    "dil_conv_5x5": 1,
    "dil_sep_conv_3x3": 2,
    "conv_3x1_1x3": 1,
    "conv_7x1_1x7": 1,
}
"""The published table: operation -> its ReLUs at stride 1, each counted once."""


def a_net(genotype: dict[str, Any] = DARTS, *, width: int = 4, depth: int = 3, **more: Any) -> dict[str, Any]:
    return {"genotype": genotype, "width": width, "depth": depth, "aux": False, **more}


def a_genotype(normal: list[list[Any]], reduce: list[list[Any]], concat: list[int]) -> dict[str, Any]:
    return {"normal": normal, "normal_concat": concat, "reduce": reduce, "reduce_concat": concat}


def network_of(net: dict[str, Any], hw: int = 12, *, family: str = "DARTS") -> Network:
    return build_network(family, net, arch_id="test", input_shape=(3, hw, hw), num_classes=10)


def compare(net: dict[str, Any], hw: int, *, imagenet: bool = False) -> None:
    network = network_of(net, hw, family="DARTS_in" if imagenet else "DARTS")
    nds_modules.compare(network, nds_modules.CellNetwork(net, imagenet=imagenet), hw)


class TestOperations:
    def test_are_those_of_the_published_table(self) -> None:
        assert set(nds_cells.OPERATIONS) == set(PUBLISHED_OPERATIONS)

    @pytest.mark.parametrize("size", [(8, 8), (7, 9), (5, 8)])
    @pytest.mark.parametrize("stride", [1, 2])
    @pytest.mark.parametrize("name", PUBLISHED_OPERATIONS)
    def test_compute_what_torch_modules_compute(self, name: str, stride: int, size: tuple[int, int]) -> None:
        """Heights and widths are even and odd; weights are in order of execution."""
        b = NetworkBuilder((4, *size))
        network = b.build(nds_cells.OPERATIONS[name](b, b.input, stride=stride), arch_id=name)
        module = nds_modules.operation(name, 4, stride)
        images = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 4, *size), dtype=np.float32))
        weights = nds_modules.weights_of(module)
        measured = measure(network, images, lambda layer: weights[layer.layer])
        with torch.no_grad():
            expected = module(images)
        assert network.nodes[network.output].shape == tuple(expected.shape[1:])
        # How a processor rounds depends on how a library reads every other pixel; the code of a value does not.
        found = measured.values[network.output].detach()
        torch.testing.assert_close(found, expected)
        assert torch.equal(found > 0, expected > 0)
        assert network.params == sum(p.numel() for p in module.parameters())
        relus = [node.op.multiplicity for node in network.nodes if isinstance(node.op, ops.Relu)]
        assert relus == [1] * (PUBLISHED_OPERATIONS[name] + (name == "skip_connect" and stride == 2))

    @pytest.mark.parametrize("name", PUBLISHED_OPERATIONS)
    def test_within_a_network(self, name: str) -> None:
        """Each operation is in normal and reduction cells, on inputs and on a state of the cell."""
        edges = [[name, 0], ["conv_3x3", 1], [name, 2], ["skip_connect", 1]]
        if name.endswith("pool_2x2"):  # at stride 1 its output is a pixel smaller, so only two of them fit
            edges = [[name, 0], [name, 1]]
            genotype = a_genotype([["conv_1x1", 0], ["conv_1x1", 1]], edges, [2])
        else:
            genotype = a_genotype(edges, edges, [2, 3])
        compare(a_net(genotype), 12)
        compare(a_net(genotype), 33 if not name.endswith("pool_2x2") else 64, imagenet=True)


@st.composite
def genotypes(draw: st.DrawFn) -> dict[str, Any]:
    """Any genotype without 2x2 pools: states and inputs that nobody reads, and any states concatenated."""
    names = [name for name in PUBLISHED_OPERATIONS if not name.endswith("2x2")]
    genotype: dict[str, Any] = {}
    for kind in ("normal", "reduce"):
        num_states = draw(st.integers(1, 4))
        lowest = draw(st.integers(0, 1))
        genotype[kind] = [
            [draw(st.sampled_from(names)), draw(st.integers(min(lowest, 1 + i), 1 + i))]
            for i in range(num_states)
            for _ in "ab"
        ]
        computed = st.integers(2, 1 + num_states)
        genotype[f"{kind}_concat"] = sorted(draw(st.lists(computed, min_size=1, max_size=num_states, unique=True)))
    return genotype


class TestNetworks:
    @settings(max_examples=40, deadline=None)
    @given(genotypes(), st.sampled_from([2, 3, 4]), st.integers(1, 6), st.sampled_from([8, 11]))
    def test_cifar(self, genotype: dict[str, Any], width: int, depth: int, hw: int) -> None:
        compare(a_net(genotype, width=width, depth=depth), hw)

    @settings(max_examples=40, deadline=None)
    @given(genotypes(), st.sampled_from([2, 4]), st.integers(1, 6), st.sampled_from([32, 37]))
    def test_imagenet(self, genotype: dict[str, Any], width: int, depth: int, hw: int) -> None:
        compare(a_net(genotype, width=width, depth=depth), hw, imagenet=True)

    @pytest.mark.parametrize(
        ("family", "width", "depth", "hw", "num_classes", "params"),
        [("DARTS", 36, 20, 32, 10, 3_349_342), ("DARTS_in", 48, 14, 224, 1000, 4_718_752)],
    )
    def test_params_are_those_of_darts(
        self, family: str, width: int, depth: int, hw: int, num_classes: int, params: int
    ) -> None:
        """The count that the DARTS authors' training code prints for DARTS_V2, without the auxiliary head (Liu et al., ICLR
        2019)."""
        net = a_net(DARTS_V2, width=width, depth=depth)
        network = build_network(family, net, arch_id="V2", input_shape=(3, hw, hw), num_classes=num_classes)
        assert network.params == params

    def test_auxiliary_head_is_left_out(self) -> None:
        without = network_of(a_net())
        assert network_of(a_net() | {"aux": True, "drop_prob": 0.2}).nodes == without.nodes

    def test_initialisation_is_that_of_torch(self) -> None:
        assert network_of(a_net()).initialisation == "kaiming_uniform"

    def test_layers_of_one_shape_have_weights_of_their_own(self) -> None:
        """Exchanging two layers, or giving one layer the weights of another, changes the kernel."""
        network = network_of(a_net())
        images = torch.from_numpy(np.random.default_rng(1).standard_normal((8, 3, 12, 12), dtype=np.float32))
        weights = nds_modules.weights_of(nds_modules.CellNetwork(a_net(), imagenet=False))
        # preprocess0 and preprocess1 of cell 0, the first layers after the stem.
        assert weights[1].shape == weights[2].shape
        kernels = set()
        for first, second in ((1, 2), (2, 1), (1, 1)):
            drawn = [weights[0], weights[first], weights[second], *weights[3:]]
            kernel = score_with_weights(network, images, lambda layer, w=drawn: w[layer.layer], return_kernel=True).kernel
            assert kernel is not None
            kernels.add(kernel.tobytes())
        assert len(kernels) == 3


class TestLiveness:
    """Units for images of 8 x 8 pixels and width 2. Parts whose results nobody reads do not count."""

    CONV = 2 * 8 * 8
    STEM = 6 * 8 * 8

    def units(self, edges: list[list[Any]], concat: list[int], *, depth: int = 1) -> tuple[int, int]:
        """N_A of a network whose cells are all alike, as published and in the paper; one cell reduces 8 x 8 x (2 * 2)
        channels."""
        network = network_of(a_net(a_genotype(edges, edges, concat), width=2, depth=depth), 8)
        return network.num_units, network.num_units_paper

    def test_preprocessing_counts_twice(self) -> None:
        assert self.units([["none", 0], ["none", 1]], [2]) == (4 * self.STEM, 2 * self.STEM)

    def test_preprocessing_of_an_unread_input(self) -> None:
        assert self.units([["none", 1], ["none", 1]], [2]) == (2 * self.STEM, self.STEM)

    def test_unread_states(self) -> None:
        """Nobody reads state 2 and its convolutions, nor therefore input 0."""
        edges = [["conv_3x3", 0], ["sep_conv_3x3", 0], ["none", 1], ["conv_1x1", 1]]
        assert self.units(edges, [3]) == (2 * self.STEM + 4 * 8 * 8, self.STEM + 4 * 8 * 8)

    def test_upstream_of_none_counts(self) -> None:
        edges = [["conv_3x3", 1], ["none", 1], ["none", 2], ["none", 2]]
        assert self.units(edges, [3]) == (2 * self.STEM + 4 * 8 * 8, self.STEM + 4 * 8 * 8)

    def test_whole_cells(self) -> None:
        """Cells that read only input 0 skip every other cell: of six, the second, fourth and sixth give the logits."""
        edges = [["conv_3x3", 0], ["none", 0]]
        six = network_of(a_net(a_genotype(edges, edges, [2]), width=2, depth=6), 8)
        assert sum(isinstance(node.op, ops.Concat) for node in six.nodes) == 6 + 2, "dead cells are there"
        assert six.num_relus == 3 * 2
        assert six.num_layers > 3 * 2 + 2

    def test_the_stem_for_imagenet(self) -> None:
        """The second ReLU works in place on what the first cell reads too, so it counts even if everything after it is dead."""
        left = [["conv_3x3", 0], ["none", 0]]
        net = a_net(a_genotype(left, left, [2]), width=4, depth=1)
        network = network_of(net, 32, family="DARTS_in")
        first, second, factorized, conv = 2 * 16 * 16, 4 * 8 * 8, 4 * 8 * 8, 8 * 4 * 4
        assert network.num_units == first + second + factorized + conv
        compare(net, 32, imagenet=True)


class TestRecords:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"width": 0}, "width 0: expected a whole number from 1 to 100,000"),
            ({"width": 10**9}, "width 1000000000: expected a whole number from 1 to 100,000"),
            ({"depth": 10**9}, "depth 1000000000: expected a whole number from 1 to 1,000"),
            ({"width": 50_000}, "its network has 262,529,300,010 parameters, expected at most 2,147,483,648"),
            ({"normal_concat": [2] * 10**6}, "genotype.normal_concat [2, 2, 2, 2, 2, 2, ...]: expected a list of states"),
            ({"width": 2.0}, "width 2.0: expected a whole number from 1 to 100,000"),
            ({"width": None}, "width None: expected a whole number from 1 to 100,000"),
            ({"depth": True}, "depth True: expected a whole number from 1 to 1,000"),
            ({"genotype": None}, "genotype None: expected an object"),
            ({"normal": []}, "genotype.normal: 0 edges, expected a list of at most 64 edges, two for each state"),
            ({"normal": "edges"}, "genotype.normal: 'edges', expected a list of at most 64 edges"),
            (
                {"reduce": [["none", 0]] * 3},
                "genotype.reduce: 3 edges, expected a list of at most 64 edges, two for each state",
            ),
            (
                {"normal": [["conv_9x9", 0]] * 2},
                "genotype.normal[0]: unknown operation 'conv_9x9', expected one of none, avg_pool",
            ),
            ({"normal": [[["none"], 0]] * 2}, "genotype.normal[0]: unknown operation ['none'], expected one of"),
            ({"normal": [["none", 0], ["none"]]}, "genotype.normal[1] ['none']: expected [operation, input]"),
            ({"normal": [["none", 0], ["none", 2]]}, "genotype.normal[1]: input 2, expected one of the states 0..1"),
            ({"reduce": [["none", 0]] * 2 + [["none", 3]] * 2}, "genotype.reduce[2]: input 3, expected one of the states 0..2"),
            ({"normal": [["none", -1]] * 2}, "genotype.normal[0]: input -1, expected one of the states 0..1"),
            ({"normal": [["none", "1"]] * 2}, "genotype.normal[0]: input '1', expected one of the states 0..1"),
            ({"normal_concat": [4]}, "genotype.normal_concat [4]: expected a list of states out of 0..3"),
            ({"reduce_concat": []}, "genotype.reduce_concat []: expected a list of states out of 0..3"),
            ({"reduce_concat": [0, 2]}, "images of 12 x 12 pixels do not fit its network: cannot concatenate shapes"),
        ],
    )
    def test_malformed(self, change: dict[str, Any], message: str) -> None:
        (key, value) = next(iter(change.items()))
        net = a_net() | change if key in a_net() else a_net(DARTS | {key: value})
        with pytest.raises(ArchitectureError, match=f"^DARTS test: {re.escape(message)}"):
            network_of(net)

    @pytest.mark.parametrize(
        ("family", "net", "message"),
        [
            ("DARTS", a_net(width=3, depth=2), None),
            ("DARTS", a_net(width=3, depth=6), None),
            ("DARTS_in", a_net(width=3), "3 channels cannot be halved by a factorized reduction; the width must be even"),
            ("DARTS_in", a_net(width=1), "width 1: the stem for ImageNet begins with width // 2 channels"),
        ],
    )
    def test_odd_widths(self, family: str, net: dict[str, Any], message: str | None) -> None:
        if message is None:
            compare(net, 12)
        else:
            with pytest.raises(ArchitectureError, match=f"^{family} test: {re.escape(message)}"):
                network_of(net, 32, family=family)

    def test_images_that_are_too_small(self) -> None:
        edges = [["avg_pool_2x2", 1], ["avg_pool_2x2", 1]]
        net = a_net(a_genotype(edges, edges, [2]), depth=6)
        message = "^DARTS test: images of 4 x 4 pixels do not fit its network: .*does not fit an input"
        with pytest.raises(ArchitectureError, match=message):
            network_of(net, 4)

    @given(st.data())
    def test_garbage_raises_nothing_else(self, data: st.DataObject) -> None:
        values = st.recursive(
            st.none() | st.booleans() | st.integers(-1, 5) | st.floats() | st.sampled_from(["none", "x"]),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["normal", "reduce"]), inner),
        )
        net = a_net(DARTS | {data.draw(st.sampled_from(sorted(DARTS))): data.draw(values)})
        net[data.draw(st.sampled_from(["genotype", "width", "depth", "aux"]))] = data.draw(values)
        with suppress(ArchitectureError):
            network_of(net, 8)
