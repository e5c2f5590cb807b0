"""Activations are found however they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from naswot_ray import score_module
from naswot_ray.engines.activations import agreements
from naswot_ray.engines.module.activations import Fate
from naswot_ray.engines.module.score import UncountedActivationWarning
from tests.engines.module.networks import IMAGES, Net, kernel_of_relus
from tests.engines.module.spellings import OTHERS, RELUS, SMOOTH, Spelling


class TestSpellings:
    @pytest.mark.parametrize("spelling", RELUS.values(), ids=RELUS)
    def test_every_relu_counts(self, spelling: Spelling) -> None:
        net = Net(spelling)
        result = score_module(net, IMAGES, return_kernel=True)
        np.testing.assert_array_equal(result.kernel, kernel_of_relus(net))
        assert result.num_units == result.num_units_paper == net.num_units()
        assert [row.fate for row in result.activations] == [Fate.COUNTED] * 2

    @pytest.mark.parametrize("spelling", SMOOTH.values(), ids=SMOOTH)
    def test_smooth_ones_count_by_their_sign_if_asked(self, spelling: Spelling) -> None:
        net = Net(spelling)
        result = score_module(net, IMAGES, activations="sign", measures=["all"], return_kernel=True)
        assert result.num_units == net.num_units()
        with torch.no_grad():
            first = net.conv1(IMAGES)
            second = net.bn(net.conv2(spelling(first)))
        np.testing.assert_array_equal(result.kernel, agreements(first) + agreements(second))
        assert all(name.endswith("_sign") for name in result)
        assert "naswot_sign" in result
        with pytest.raises(ValueError, match=r"has no activation to count; .* ×2 \(not piecewise linear\); activations='sign'"):
            score_module(net, IMAGES)

    @pytest.mark.parametrize("spelling", OTHERS.values(), ids=OTHERS)
    @pytest.mark.parametrize("activations", ["relu", "sign"])
    def test_others_never_count(self, spelling: Spelling, activations: Any) -> None:
        with pytest.raises(ValueError, match=r"Net has no activation to count; it executes: .* ×2 \(no kink at zero\)$"):
            score_module(Net(spelling), IMAGES, activations=activations)

    def test_a_bound_that_is_learned_counts_where_it_begins_at_zero(self) -> None:
        begins = nn.Parameter(torch.zeros(1))
        assert score_module(Net(lambda x: torch.maximum(x, begins.view(1, 1, 1, 1))), IMAGES) == score_module(Net(), IMAGES)
        with pytest.raises(ValueError, match="Net has no activation to count; it executes: none"):
            score_module(Net(lambda x: torch.maximum(x, begins + 0.1)), IMAGES)

    def test_fused_with_the_matrix_product(self) -> None:
        torch.manual_seed(0)
        linear = nn.Linear(768, 40)
        plain = nn.Sequential(nn.Flatten(), linear, nn.ReLU())

        class Fused(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return torch._addmm_activation(linear.bias, x.flatten(1), linear.weight.T)

        np.testing.assert_array_equal(
            score_module(Fused(), IMAGES, return_kernel=True).kernel, score_module(plain, IMAGES, return_kernel=True).kernel
        )

    @pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
    def test_recurrent_layers_are_told(self, kind: Callable[..., nn.Module]) -> None:
        class Recurrent(Net):
            def __init__(self) -> None:
                super().__init__()
                self.recurrent = kind(16, 5, batch_first=True)

            def forward(self, x: torch.Tensor) -> Any:
                return super().forward(x + self.recurrent(x.mean(1))[0].mean((1, 2))[:, None, None, None])

        with pytest.warns(UncountedActivationWarning, match=r"recurrent layer|tanh|sigmoid"):
            result = score_module(Recurrent(), IMAGES)
        assert result.num_units == Net().num_units()

    def test_relus_of_recurrent_layers_count(self) -> None:
        net = nn.Sequential(nn.RNN(12, 16, nonlinearity="relu", batch_first=True))
        result = score_module(net, torch.randn(8, 5, 12), outputs=lambda outputs: outputs[0])
        assert result.num_units == 5 * 16

    def test_clamps_of_integers_are_no_activations(self) -> None:
        result = score_module(Net(lambda x: F.relu(x) + torch.arange(3).clamp(min=0).sum()), IMAGES)
        assert len(result.activations) == 2


class LeNet(nn.Module):
    """One `nn.ReLU`, and one of each other spelling."""

    def __init__(self, *, modules: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convs = nn.ModuleList(nn.Conv2d(3 if i == 0 else 4, 4, 3, padding=1) for i in range(7))
        self.relu = nn.ReLU()
        self.unseen = [nn.ReLU()]
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(7))
        self.modules_only = modules

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spellings: list[Spelling] = [
            self.relu,
            F.relu,
            torch.relu,
            lambda y: y.clamp(min=0),
            lambda y: nn.ReLU()(y),
            self.unseen[0],
            self.relu.forward,
        ]
        for conv, relu, spelling in zip(self.convs, self.relus, spellings, strict=True):
            x = (relu if self.modules_only else spelling)(conv(x))
        return x.mean((2, 3))


def test_all_spellings_in_one_network() -> None:
    mixed, plain = score_module(LeNet(), IMAGES), score_module(LeNet(modules=True), IMAGES)
    assert dict(mixed) == dict(plain)
    assert mixed.num_units == 7 * 4 * 16 * 16
    assert mixed.num_units_published == 4 * 16 * 16
    assert plain.num_units_published == plain.num_units
    assert plain.notes == ()
