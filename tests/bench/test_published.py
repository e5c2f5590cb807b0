"""The baseline of the speed ratios computes what it claims to compute: the published kernel."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from bench import published, samples
from naswot_ray.engines.score import score_with_weights
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.images.source import load_images
from naswot_ray.network import Network
from naswot_ray.spaces import get_space
from naswot_ray.spaces.nds import build_network

CELL = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"
EDGES = [["sep_conv_3x3", 0], ["none", 1], ["dil_conv_5x5", 2], ["skip_connect", 0], ["max_pool_3x3", 1], ["avg_pool_3x3", 1]]
CELL_NET: dict[str, Any] = {
    "genotype": {"normal": EDGES, "normal_concat": [3, 4], "reduce": EDGES, "reduce_concat": [3]},
    "width": 4,
    "depth": 4,
}
ANYNET: dict[str, Any] = {
    "block_type": "res_bottleneck_block",
    "ds": [1, 2, 1],
    "ws": [16, 24, 32],
    "ss": [1, 2, 2],
    "bot_muls": [0.5, 1.0, 0.25],
    "num_gs": [2, 4, 8],
}


def networks() -> list[Network]:
    nds = partial(build_network, arch_id="x", input_shape=(3, 16, 16), num_classes=10)
    return [
        get_space("nasbench201").network(CELL, input_shape=(3, 16, 16)),
        get_space("nats_sss").network("8:16:8:8:24", input_shape=(3, 16, 16)),
        get_space("nasbench101").network(get_space("nasbench101")[2000], input_shape=(3, 16, 16)),
        nds("DARTS", CELL_NET),
        nds("ResNeXt-A", ANYNET),
    ]


@pytest.mark.parametrize("network", networks(), ids=lambda network: network.arch_id)
def test_same_kernel_as_exact(network: Network) -> None:
    """Hooks, backward pass and second forward pass find the same as engine `exact` derives from the graph."""
    images = torch.from_numpy(load_images("noise", image_size=16).batch(6, seed=1))
    weights = SeededWeights(network, 1)
    module = published.PublishedNetwork(network)
    module.load_weights(network, weights)
    kernel = published.compute_kernel(network, module, images)
    expected = score_with_weights(network, images, weights, return_kernel=True)
    assert expected.kernel is not None
    assert np.array_equal(kernel, expected.kernel)
    assert kernel[0, 0] == network.num_units
    if expected.status == "ok":
        assert published.log_det(kernel) == pytest.approx(expected["naswot"], abs=1e-9)


def test_default_initialisations() -> None:
    """The initialisation of the layer's own class in PyTorch or, if the space has another one, that."""
    cells, anynet = (published.PublishedNetwork(networks()[i]) for i in (3, 4))
    stem = cells.operations[0]
    assert isinstance(stem, torch.nn.Conv2d)
    assert stem.weight.detach().abs().max() <= (3 * 9) ** -0.5
    assert stem.weight.detach().std() > 0
    stem = anynet.operations[0]
    assert isinstance(stem, torch.nn.Conv2d)
    assert float(stem.weight.detach().std()) == pytest.approx((2 / (49 * 12)) ** 0.5, rel=0.1)


class TestSampling:
    @pytest.mark.parametrize("space", [*samples.SPACES, "nds_darts_in", "nds_resnext-a_in"])
    def test_more_networks_begin_with_the_same(self, space: str) -> None:
        arch_ids = [sample.arch_id for sample in samples.samples(space, 4)]
        assert len(set(arch_ids)) == 4
        assert [sample.arch_id for sample in samples.samples(space, 2)] == arch_ids[:2]
        assert [sample.arch_id for sample in samples.samples(space, 2, seed=1)] != arch_ids[:2]

    def test_sizes_of_the_cell_spaces(self) -> None:
        """The sizes are numbers of cells of one kind, from the paper's table of NAS design spaces, in thousands of millions."""
        table = {"NASNet": 71_465_842, "Amoeba": 556_628, "PNAS": 556_628, "ENAS": 5_063, "DARTS": 242}
        for family, size in table.items():
            design = samples.DESIGNS[family]
            assert isinstance(design, samples.CellDesign)
            choices = [len(design.operations) * (2 + node) for node in range(design.num_nodes) for _ in "ab"]
            assert math.prod(choices) / 1e9 == pytest.approx(size, abs=0.5)

    def test_sizes_of_the_anynet_spaces(self) -> None:
        """The sizes are those of the paper's table of standard design spaces."""
        table = {"Vanilla": 1_259_712, "ResNet": 1_259_712, "ResNeXt-A": 11_390_625, "ResNeXt-B": 52_734_375}
        for family, size in table.items():
            design = samples.DESIGNS[family]
            assert isinstance(design, samples.AnyNetDesign)
            choices = len(design.depths) * len(design.widths) * max(1, len(design.ratios)) * max(1, len(design.groups))
            assert choices**3 == size
