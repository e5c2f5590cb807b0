"""The graphs of NDS' AnyNets, compared with torch modules with autograd."""

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
from naswot_ray.network import Network, ops
from naswot_ray.spaces.nds import build_network
from tests.spaces import nds_modules

BLOCKS = {"Vanilla": "double_plain_block", "ResNet": "res_basic_block", "ResNeXt-A": "res_bottleneck_block"}


def a_net(family: str = "ResNeXt-A", **more: Any) -> dict[str, Any]:
    net: dict[str, Any] = {
        "block_type": BLOCKS[family],
        "ds": [1, 2],
        "ws": [16, 24],
        "ss": [1, 2],
        "bot_muls": [],
        "num_gs": [],
    }
    if family == "ResNeXt-A":
        net |= {"bot_muls": [0.5, 1.0], "num_gs": [4, 8]}
    return net | more


def network_of(net: dict[str, Any], hw: int = 16, *, family: str = "ResNeXt-A") -> Network:
    return build_network(family, net, arch_id="test", input_shape=(3, hw, hw), num_classes=10)


def compare(net: dict[str, Any], hw: int, *, family: str) -> None:
    nds_modules.compare(network_of(net, hw, family=family), nds_modules.any_network(net, pooled_stem="ResN" in family), hw)


@st.composite
def nets(draw: st.DrawFn, family: str) -> dict[str, Any]:
    num_stages = draw(st.integers(1, 4))

    def per_stage(*values: Any) -> list[Any]:
        return draw(st.lists(st.sampled_from(values), min_size=num_stages, max_size=num_stages))

    net: dict[str, Any] = {
        "block_type": BLOCKS[family],
        "ds": per_stage(1, 2, 3),
        "ws": per_stage(8, 12, 16),
        "ss": per_stage(1, 2),
    }
    bottleneck = family == "ResNeXt-A"
    return net | {
        "bot_muls": per_stage(0.25, 0.5, 1.0, 2) if bottleneck else [],
        "num_gs": per_stage(1, 2) if bottleneck else [],
    }


class TestNetworks:
    @settings(max_examples=20, deadline=None)
    @pytest.mark.parametrize("family", BLOCKS)
    @given(st.data(), st.sampled_from([16, 23]))
    def test_compute_what_torch_modules_compute(self, family: str, data: st.DataObject, hw: int) -> None:
        compare(data.draw(nets(family)), hw, family=family)

    @pytest.mark.parametrize("family", ["Vanilla_lr-wd_in", "ResNeXt-B_in", "ResNet_lr-wd"])
    def test_variants_of_a_family_have_its_stem(self, family: str) -> None:
        compare(a_net("Vanilla"), 32, family=family)

    def test_stems(self) -> None:
        """The stem has 12 channels, whatever the record says: 3 x 3 with stride 2, or 7 x 7 with stride 2 and a pool."""
        for family, kernel, size in (("Vanilla", 3, 16), ("ResNet", 7, 8)):
            network = network_of(a_net(family, stem_w=64), 32, family=family)
            stem, first = (op for op in network.layers[:2] if isinstance(op, ops.Conv))
            assert (stem.kernel, stem.out_channels, stem.stride) == ((kernel, kernel), 12, (2, 2))
            (node,) = (node for node in network.nodes if node.op is first)
            assert node.shape == (16, size, size)

    def test_num_gs_is_the_width_of_a_group(self) -> None:
        groups = [op.groups for op in network_of(a_net()).layers if isinstance(op, ops.Conv) and op.kernel == (3, 3)]
        assert groups == [8 // 4, 24 // 8, 24 // 8]
        single = a_net(ds=[1, 1], num_gs=[8, 1])
        groups = [op.groups for op in network_of(single).layers if isinstance(op, ops.Conv) and op.kernel == (3, 3)]
        assert groups == [1, 24]

    def test_channels_are_rounded_as_python_rounds(self) -> None:
        """Half rounds to even: 10 x 0.25 = 2.5 -> 2, and 14 x 0.25 = 3.5 -> 4."""
        network = network_of(a_net(ws=[10, 14], bot_muls=[0.25, 0.25], num_gs=[1, 1], ds=[1, 1]))
        inner = [op.out_channels for op in network.layers if isinstance(op, ops.Conv) and op.kernel == (3, 3)]
        assert inner == [2, 4]

    def test_a_shortcut_is_projected_where_the_shape_changes(self) -> None:
        """It also runs before the block's other convolutions, so its layer comes first."""
        network = network_of(a_net("ResNet", ds=[2, 2], ws=[12, 12]), family="ResNet")
        kernels = [op.kernel[0] for op in network.layers if isinstance(op, ops.Conv)]
        assert kernels == [7, 3, 3, 3, 3, 1, 3, 3, 3, 3]

    def test_every_relu_counts_once(self) -> None:
        for family, in_a_block in (("Vanilla", 2), ("ResNet", 2), ("ResNeXt-A", 3)):
            network = network_of(a_net(family), family=family)
            assert network.num_relus == 1 + 3 * in_a_block
            assert network.num_units == network.num_units_paper

    def test_names_of_lists_and_blocks(self) -> None:
        """`bms` and `gws` stand for `bot_muls` and `num_gs`. Lists that a block does not use may be absent or null."""
        net = a_net()
        renamed = {"bms": net.pop("bot_muls"), "gws": net.pop("num_gs")} | net
        assert network_of(renamed).nodes == network_of(a_net()).nodes
        plain = network_of(a_net("Vanilla"), family="Vanilla")
        without = {key: value for key, value in a_net("Vanilla", bms=None).items() if key not in ("bot_muls", "num_gs")}
        assert network_of(without | {"block_type": "vanilla_block"}, family="Vanilla").nodes == plain.nodes

    def test_initialisation_is_that_of_pycls(self) -> None:
        assert network_of(a_net()).initialisation == "normal_fan_out"

    def test_layers_of_one_shape_have_weights_of_their_own(self) -> None:
        """Exchanging two layers, or giving one layer the weights of another, changes the kernel."""
        net = a_net("ResNet", ds=[2, 1])
        network = network_of(net, family="ResNet")
        images = torch.from_numpy(np.random.default_rng(1).standard_normal((8, 3, 16, 16), dtype=np.float32))
        weights = nds_modules.weights_of(nds_modules.any_network(net, pooled_stem=True))
        same = [k for k, weight in enumerate(weights) if weight.shape == (16, 16, 3, 3)]
        i, j = same[:2]
        kernels = set()
        for first, second in ((i, j), (j, i), (i, i)):
            drawn = {**dict(enumerate(weights)), i: weights[first], j: weights[second]}
            kernel = score_with_weights(network, images, lambda layer, w=drawn: w[layer.layer], return_kernel=True).kernel
            assert kernel is not None
            kernels.add(kernel.tobytes())
        assert len(kernels) == 3


class TestRecords:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"block_type": "se_block"},
                "unknown block_type 'se_block', expected one of vanilla_block, double_plain_block, res_",
            ),
            ({"block_type": ["res_basic_block"]}, "unknown block_type ['res_basic_block'], expected one of"),
            ({"ds": []}, "ds []: expected a depth for each stage"),
            ({"ds": 3}, "ds 3: expected a list"),
            ({"ws": [16]}, "ws [16]: expected a value for each of the 2 stages, as many as ds"),
            ({"ss": [1, 2, 2]}, "ss [1, 2, 2]: expected a value for each of the 2 stages"),
            ({"bot_muls": []}, "bot_muls []: expected a value for each of the 2 stages"),
            ({"num_gs": [4]}, "num_gs [4]: expected a value for each of the 2 stages"),
            ({"gws": [4]}, "gws [4]: expected a value for each of the 2 stages"),
            ({"ds": [1, 0]}, "ds[1] 0: expected a whole number from 1 to 100,000"),
            ({"ws": [0, 24]}, "ws[0] 0: expected a whole number from 1 to 100,000"),
            ({"ws": [10**400, 24]}, "ws[0] 1000000"),
            ({"ds": [10**9, 1]}, "ds[0] 1000000000: expected a whole number from 1 to 100,000"),
            ({"ds": [999, 2]}, "ds [999, 2]: 1,001 blocks, expected at most 1,000"),
            ({"bot_muls": [0.5, 1e308]}, "bot_muls[1] 1e+308: expected a number greater than 0, at most 1,000"),
            ({"ws": [16.0, 24]}, "ws[0] 16.0: expected a whole number from 1 to 100,000"),
            ({"ss": [1, -2]}, "ss[1] -2: expected a whole number from 1 to 100,000"),
            ({"bot_muls": [0.5, 0.0]}, "bot_muls[1] 0.0: expected a number greater than 0"),
            ({"bot_muls": [0.5, "1"]}, "bot_muls[1] '1': expected a number greater than 0"),
            ({"num_gs": [4, 0]}, "num_gs[1] 0: expected a whole number from 1 to 100,000"),
            ({"num_gs": [16, 8]}, "num_gs[0] 16: the 8 channels of the bottleneck do not divide into 8 // 16 = 0 equal groups"),
            (
                {"num_gs": [3, 8], "ws": [20, 24]},
                "num_gs[0] 3: the 10 channels of the bottleneck do not divide into 10 // 3 = 3 equal groups",
            ),
            ({"block_type": "res_basic_block"}, "bot_muls [0.5, 1.0]: expected none, a res_basic_block has no bottleneck"),
        ],
    )
    def test_malformed(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(ArchitectureError, match=f"^ResNeXt-A test: {re.escape(message)}"):
            network_of(a_net() | change)

    @given(st.data())
    def test_garbage_raises_nothing_else(self, data: st.DataObject) -> None:
        value = st.none() | st.booleans() | st.integers(-1, 30) | st.floats(-1, 4) | st.text(max_size=2)
        net = a_net() | {data.draw(st.sampled_from(sorted(a_net()))): data.draw(value | st.lists(value, max_size=3))}
        with suppress(ArchitectureError):
            network_of(net, 8)
