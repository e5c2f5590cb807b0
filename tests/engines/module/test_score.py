"""`score_module`: modules that the published code sees, and what a caller can rely on."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from naswot_ray import get_space, load_images, score_module
from naswot_ray.engines.activations import agreements
from naswot_ray.engines.score import score_with_weights
from naswot_ray.engines.weights import SeededWeights
from tests.engines.module.nasbench201 import ReLUConvBN, TinyNetwork, load_weights

IMAGES = torch.from_numpy(load_images("noise").batch(8, seed=0)[:, :, :16, :16].copy())


@pytest.mark.parametrize(
    "arch_id",
    [
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_3x3~1|avg_pool_3x3~2|",
        "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|nor_conv_1x1~0|none~1|none~2|",
        "|none~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|avg_pool_3x3~0|nor_conv_1x1~1|avg_pool_3x3~2|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        pytest.param(
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~0|nor_conv_3x3~1|",
            id="literal indices leave node 2 dead",
        ),
    ],
)
def test_agrees_with_the_space(arch_id: str) -> None:
    """The same architecture as modules and as a graph, with the same weights, has the same kernel to the last bit."""
    network = get_space("nasbench201").network(arch_id, input_shape=(3, 16, 16))
    weights = SeededWeights(network, 0)
    module = TinyNetwork(arch_id)
    load_weights(module, network, weights)
    expected = score_with_weights(network, IMAGES, weights, engine="exact", return_kernel=True)
    found = score_module(module, IMAGES, return_kernel=True)
    assert expected.kernel is not None
    np.testing.assert_array_equal(found.kernel, expected.kernel)
    assert (found.num_units, found.num_units_paper) == (expected.num_units, expected.num_units_paper)
    assert (found["naswot"], found["naswot_paper"]) == (expected["naswot"], expected["naswot_paper"])
    every = score_with_weights(network, IMAGES, weights, engine="exact", measures=["all"])
    assert dict(score_module(module, IMAGES, measures=["all"])) == pytest.approx(dict(every), rel=1e-9, abs=1e-9)


class Small(nn.Module):
    """A network conv - ReLU - conv - batch norm - ReLU with a head, and hooks for what a test wants to vary."""

    def __init__(self, *, inplace: bool = False, wrap: Callable[[torch.Tensor], Any] = lambda x: x) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.relu1, self.relu2 = nn.ReLU(inplace), nn.ReLU(inplace)
        self.wrap = wrap

    def forward(self, x: torch.Tensor) -> Any:
        return self.wrap(self.relu2(self.bn(self.conv2(self.relu1(self.conv1(x))))).mean((2, 3)))


UNITS = (6 * 14 * 14, 4 * 12 * 12)


def test_counts_and_kernel() -> None:
    module = Small()
    result = score_module(module, IMAGES, return_kernel=True)
    assert result.num_units == result.num_units_paper == sum(UNITS)
    with torch.no_grad():
        first = module.conv1(IMAGES)
        second = module.bn(module.conv2(torch.relu(first)))
    np.testing.assert_array_equal(result.kernel, agreements(first) + agreements(second))
    assert math.isfinite(result["naswot"])
    assert result["naswot"] == result["naswot_paper"]
    assert score_module(module, IMAGES).kernel is None


def test_relus_in_place() -> None:
    one, other = (score_module(Small(inplace=inplace), IMAGES, return_kernel=True) for inplace in (False, True))
    np.testing.assert_array_equal(one.kernel, other.kernel)
    assert one.num_units == other.num_units
    one, other = (score_module(Small(inplace=inplace), IMAGES, measures=["all"]) for inplace in (False, True))
    assert dict(one) == dict(other), "a tensor is looked at before it is changed"


def test_relu_in_place_on_the_images() -> None:
    before = IMAGES.clone()
    result = score_module(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3)), IMAGES)
    assert result.num_units == 3 * 16 * 16
    assert torch.equal(IMAGES, before)


def test_block_named_relu_counts_twice() -> None:
    result = score_module(ReLUConvBN(3, 4, 3), IMAGES, return_kernel=True)
    assert (result.num_units, result.num_units_paper) == (2 * 3 * 16 * 16, 3 * 16 * 16)
    np.testing.assert_array_equal(result.kernel, 2 * agreements(IMAGES))


def test_a_module_called_twice_counts_twice() -> None:
    relu = nn.ReLU()
    module = nn.Sequential(nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 4, 3), relu)
    assert score_module(module, IMAGES).num_units == 4 * 14 * 14 + 4 * 12 * 12


def test_every_kind_of_relu_counts() -> None:
    kinds = (nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.PReLU(), nn.RReLU())
    module = nn.Sequential(*(part for kind in kinds for part in (nn.Conv2d(3, 3, 1), kind)))
    result = score_module(module, IMAGES)
    assert result.num_units == result.num_units_paper == result.num_units_published == len(kinds) * 3 * 16 * 16


class Branches(Small):
    """A ReLU that nothing reads, one that is detached, and one whose output is multiplied by zero."""

    def __init__(self) -> None:
        super().__init__()
        self.dead, self.detached, self.zeroed = nn.ReLU(), nn.ReLU(), nn.ReLU()

    def forward(self, x: torch.Tensor) -> Any:
        stem = self.conv1(x)
        self.conv2(self.dead(stem))
        stem = stem + self.detached(stem).detach() + self.zeroed(stem) * 0
        return self.relu1(stem)


def test_dead_relu_does_not_count() -> None:
    """As in the published code, a multiplication by zero leaves a ReLU connected."""
    assert score_module(Branches(), IMAGES).num_units == 2 * UNITS[0]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: (x, x + 1),
        lambda x: [x],
        lambda x: {"logits": x},
        lambda x: OrderedDict(logits=(x, None), loss=None),
    ],
)
def test_outputs_may_be_nested(wrap: Callable[[torch.Tensor], Any]) -> None:
    assert score_module(Small(wrap=wrap), IMAGES) == score_module(Small(), IMAGES)


class TestModuleComesBackAsItWas:
    def test_state(self) -> None:
        module = Small()
        before = copy.deepcopy(module.state_dict())
        score_module(module, IMAGES)
        after = module.state_dict()
        assert list(after) == list(before)
        for name, value in before.items():
            assert torch.equal(after[name], value), name

    def test_modes(self) -> None:
        module = Small()
        module.eval()
        module.bn.train()
        score_module(module, IMAGES)
        assert [m.training for m in module.modules()] == [m is module.bn for m in module.modules()]

    def test_gradients(self) -> None:
        module = Small()
        assert module.conv1.weight.grad is None
        score_module(module, IMAGES)
        assert module.conv1.weight.grad is None
        module(IMAGES).sum().backward()
        gradient = module.conv1.weight.grad
        assert gradient is not None
        before = gradient.clone()
        score_module(module, IMAGES)
        assert torch.equal(gradient, before)
        assert module.conv1.weight.grad is gradient

    def test_images(self) -> None:
        images = IMAGES.clone()
        score_module(Small(inplace=True), images)
        assert torch.equal(images, IMAGES)
        assert not images.requires_grad

    def test_hooks(self) -> None:
        module = Small()
        score_module(module, IMAGES)
        assert all(not m._forward_hooks for m in module.modules())

    def test_even_if_it_fails(self) -> None:
        module = Small(wrap=lambda x: x.no_such_attribute).eval()  # type: ignore[attr-defined]
        before = copy.deepcopy(module.state_dict())
        with pytest.raises(AttributeError, match="no_such_attribute"):
            score_module(module, IMAGES)
        assert not any(m._forward_hooks or m.training for m in module.modules())
        assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())

    def test_replaced_buffers(self) -> None:
        class Counts(Small):
            calls: torch.Tensor

            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("calls", torch.zeros(()))

            def forward(self, x: torch.Tensor) -> Any:
                self.calls = self.calls + 1
                return super().forward(x)

        module = Counts()
        score_module(module, IMAGES)
        assert module.calls.item() == 0


class TestSurroundings:
    """Whatever a caller did before has no influence."""

    def test_train_mode_is_used(self) -> None:
        module = Small().eval()
        module.bn.running_mean = torch.full((4,), 100.0)
        expected = score_module(Small(), IMAGES, return_kernel=True)
        np.testing.assert_array_equal(score_module(module, IMAGES, return_kernel=True).kernel, expected.kernel)

    def test_frozen_parameters(self) -> None:
        assert score_module(Small().requires_grad_(False), IMAGES) == score_module(Small(), IMAGES)

    def test_without_gradients(self) -> None:
        expected = score_module(Small(), IMAGES)
        with torch.no_grad():
            assert score_module(Small(), IMAGES) == expected

    def test_inference_mode(self) -> None:
        expected = score_module(Small(), IMAGES)
        module = Small()
        with torch.inference_mode():
            assert score_module(module, IMAGES) == expected

    def test_numpy_images(self) -> None:
        assert score_module(Small(), IMAGES.numpy()) == score_module(Small(), IMAGES)

    def test_earlier_calls(self) -> None:
        module = Small()
        first = score_module(module, IMAGES)
        score_module(module, IMAGES[:4])
        assert score_module(module, IMAGES) == first


class TestErrors:
    def test_images(self) -> None:
        with pytest.raises(ValueError, match="1 image: a kernel needs at least 2"):
            score_module(Small(), IMAGES[:1])
        with pytest.raises(ValueError, match="images hold values that are not finite"):
            score_module(Small(), IMAGES * torch.nan)
        with pytest.raises(ValueError, match="have no dimension 4"):
            score_module(Small(), IMAGES, batch_dim=4)

    def test_outputs_that_hold_no_tensor(self) -> None:
        class Output:
            def __init__(self, logits: torch.Tensor) -> None:
                self.logits = logits

        with pytest.raises(
            ValueError, match=r"^Small returned Output, in which no tensor was found; say by outputs= where it is$"
        ):
            score_module(Small(wrap=Output), IMAGES)
        assert score_module(Small(wrap=Output), IMAGES, outputs="logits") == score_module(Small(), IMAGES)

    def test_relu_called_by_keyword(self) -> None:
        class Keyword(Small):
            def forward(self, x: torch.Tensor) -> Any:
                return self.relu1(input=self.conv1(x))

        assert score_module(Keyword(), IMAGES).num_units == UNITS[0]
