"""The table of activations, and what is said of those that are not counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from naswot_ray import score_module
from naswot_ray.engines.module.score import UncountedActivationWarning
from tests.engines.module.networks import IMAGES, Net


class SqueezeExcite(Net):
    """Hardswish everywhere, and a ReLU in the branch that computes the gates."""

    def __init__(self) -> None:
        super().__init__(F.hardswish)
        self.squeeze, self.excite = nn.Conv2d(6, 20, 1), nn.Conv2d(20, 6, 1)

    def forward(self, x: torch.Tensor) -> Any:
        y = self.activation(self.conv1(x))
        y = y * torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        return self.activation(self.bn(self.conv2(y))).mean((2, 3))


class TestWhatIsNotCounted:
    def test_is_said(self) -> None:
        with pytest.warns(UncountedActivationWarning) as warned:
            result = score_module(SqueezeExcite(), IMAGES)
        assert str(warned[0].message) == (
            "SqueezeExcite: 3 of 4 activations are not counted: hardswish ×2 (not piecewise linear), sigmoid ×1 (no kink at "
            "zero); activations='sign' counts gelu, silu and the like"
        )
        assert warned[0].filename == __file__
        assert result.num_units == 20

    def test_strict(self) -> None:
        with pytest.raises(ValueError, match="SqueezeExcite: 3 of 4 activations are not counted"):
            score_module(SqueezeExcite(), IMAGES, strict=True)

    def test_by_sign(self) -> None:
        net = SqueezeExcite()
        with pytest.warns(
            UncountedActivationWarning, match=r"1 of 4 activations are not counted: sigmoid ×1 \(no kink at zero\)$"
        ):
            result = score_module(net, IMAGES, activations="sign")
        assert result.num_units == net.num_units() + 20

    def test_table(self) -> None:
        with pytest.warns(UncountedActivationWarning):
            table = score_module(SqueezeExcite(), IMAGES).activations
        assert str(table).splitlines() == [
            "module  operation  shape      units  counted",
            ".       hardswish  8x6x14x14  1,176  no: not piecewise linear",
            ".       relu       8x20x1x1      20  yes",
            ".       sigmoid    8x6x1x1        6  no: no kink at zero",
            ".       hardswish  8x4x12x12    576  no: not piecewise linear",
        ]
        assert repr(table) == "<Activations: hardswish ×2 (not piecewise linear), relu ×1, sigmoid ×1 (no kink at zero)>"

    def test_paths(self) -> None:
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU()))
        assert [row.module for row in score_module(net, IMAGES).activations] == ["1.0"]
