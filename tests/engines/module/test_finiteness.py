"""A network whose values are not finite has no score; a singular kernel has a reason."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from naswot_ray import score_module
from tests.engines.module.networks import IMAGES, Net


class TestFinite:
    """A network whose values are not finite has no score."""

    def test_a_weight_that_is_nan(self) -> None:
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
        with torch.no_grad():
            next(net[2].parameters())[0, 0, 0, 0] = torch.nan
        with pytest.raises(
            ValueError,
            match=r"^Sequential: values are not finite from 2 \(convolution\) on; 2\.weight holds values that are not",
        ):
            score_module(net, IMAGES)

    def test_the_last_layer(self) -> None:
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 2))
        with torch.no_grad():
            list(net[3].parameters())[1][0] = torch.inf
        with pytest.raises(ValueError, match=r"^Sequential: values are not finite from 3 \(addmm\) on; 3\.bias holds"):
            score_module(net, IMAGES)

    def test_huge_weights(self) -> None:
        net = nn.Sequential(*(part for _ in range(4) for part in (nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())))
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.normal_(std=1e14)
        with pytest.raises(ValueError, match=r"^Sequential: values are not finite from \d \(convolution\) on$"):
            score_module(net, IMAGES)

    def test_a_dead_branch_may_hold_what_it_wants(self) -> None:
        class Dead(Net):
            def forward(self, x: torch.Tensor) -> Any:
                F.relu(x / 0)
                return super().forward(x)

        assert score_module(Dead(), IMAGES) == score_module(Net(), IMAGES)

    def test_masks_of_minus_infinity_are_passed_over(self) -> None:
        class Masked(Net):
            def forward(self, x: torch.Tensor) -> Any:
                x = x + torch.full((16, 16), -torch.inf).softmax(0).nan_to_num()
                return super().forward(x)

        assert math.isfinite(score_module(Masked(), IMAGES)["naswot"])


class TestSingular:
    def test_fewer_units_than_images(self) -> None:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 6), nn.ReLU())
        result = score_module(net, IMAGES)
        assert result.status == "singular"
        assert result.why_singular == "6 units cannot tell 8 images apart: K has rank 7 at most"

    def test_equal_images(self) -> None:
        images = IMAGES.clone()
        images[5] = images[2]
        result = score_module(Net(), images)
        assert (result.status, result.why_singular) == ("singular", "images 2 and 5 have equal codes")

    def test_no_live_unit(self) -> None:
        class Dead(Net):
            def forward(self, x: torch.Tensor) -> Any:
                y = self.conv1(x)
                F.relu(y)
                return y

        result = score_module(Dead(), IMAGES)
        assert (result["naswot"], result.why_singular) == (-math.inf, "no live unit")

    def test_regular(self) -> None:
        assert score_module(Net(), IMAGES).why_singular is None
