"""Where the images are in a tensor."""

from __future__ import annotations

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
from tests.engines.module.networks import IMAGES, Net


class Transformer(nn.Module):
    """Tokens first, and as many of them as images."""

    def __init__(self, *, images_first: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.images_first = images_first
        self.embed, self.mix = nn.Conv2d(3, 6, 4, stride=4), nn.Linear(6, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(x).flatten(2)[:, :, :8].permute(2, 0, 1)
        return F.relu(self.mix(tokens.transpose(0, 1) if self.images_first else tokens)).mean()


class TestWhereTheImagesAre:
    def test_tokens_first(self) -> None:
        first, second = (score_module(Transformer(images_first=flag), IMAGES, return_kernel=True) for flag in (True, False))
        assert first.num_units == second.num_units == 8 * 10
        np.testing.assert_array_equal(first.kernel, second.kernel)

    def test_as_the_caller_says(self) -> None:
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(12, 3, 24, dropout=0.0, batch_first=False)
        tokens = torch.randn(8, 8, 12)  # tokens, images, channels
        found = score_module(layer, tokens, batch_dim=1, return_kernel=True)
        layer.self_attn.batch_first = True
        other = score_module(layer, tokens.transpose(0, 1), return_kernel=True)
        np.testing.assert_array_equal(found.kernel, other.kernel)

    @pytest.mark.parametrize("outer", [True, False])
    def test_windows_folded_into_the_batch(self, outer: bool) -> None:
        class Folded(Net):
            def forward(self, x: torch.Tensor) -> Any:
                y = self.conv1(x).unflatten(3, (2, 7))  # two windows side by side: n c h 2 w
                y = y.permute(0, 3, 1, 2, 4) if outer else y.permute(3, 0, 1, 2, 4)
                y = F.relu(y.flatten(0, 1))
                return y.reshape(*((len(x), 2) if outer else (2, len(x))), -1).sum(1 if outer else 0)

        net = Folded()
        result = score_module(net, IMAGES, return_kernel=True)
        with torch.no_grad():
            np.testing.assert_array_equal(result.kernel, agreements(net.conv1(IMAGES)))
        plain = score_module(nn.Sequential(net.conv1, nn.ReLU()), IMAGES, measures=["all"])
        folded = score_module(net, IMAGES, measures=["all"])
        assert dict(folded) == pytest.approx(dict(plain), rel=1e-9, abs=1e-9)

    def test_folded_with_noise(self) -> None:
        """Whose row is whose cannot be told, so they do not count."""

        class Folded(Net):
            def forward(self, x: torch.Tensor) -> Any:
                y = F.relu(self.conv1(x))
                y = F.relu(F.dropout(y.unflatten(1, (2, 3)).flatten(0, 1) - 0.1))
                return y.reshape(len(x), -1).sum(1)

        with pytest.warns(UncountedActivationWarning, match=r"1 of 2 activations are not counted: relu ×1 \(no dimension"):
            assert score_module(Folded(), IMAGES).num_units == 6 * 14 * 14
        with pytest.raises(ValueError, match="Folded: 1 of 2 activations are not counted"):
            score_module(Folded(), IMAGES, strict=True)

    def test_tensors_without_images(self) -> None:
        """As the relative position biases of Swin V2."""

        class Constant(Net):
            def forward(self, x: torch.Tensor) -> Any:
                return super().forward(x + F.relu(self.conv1.weight).mean())

        result = score_module(Constant(), IMAGES, strict=True)
        assert [row.fate for row in result.activations] == [Fate.CONSTANT, Fate.COUNTED, Fate.COUNTED]

    def test_images_one_by_one(self) -> None:
        """Each ReLU sees one image. That is no unit of the network, and it is said."""

        class OneByOne(Net):
            def forward(self, x: torch.Tensor) -> Any:
                features = torch.cat([F.relu(self.conv1(image[None])) for image in x])
                return F.relu(self.bn(self.conv2(features))).mean((2, 3))

        with pytest.warns(UncountedActivationWarning, match=r"8 of 9 activations are not counted: relu ×8 \(no dimension"):
            result = score_module(OneByOne(), IMAGES)
        assert result.num_units == 4 * 12 * 12
        with pytest.raises(ValueError, match="8 of 9 activations are not counted"):
            score_module(OneByOne(), IMAGES, strict=True)

    def test_mean_over_the_images(self) -> None:
        class Mean(Net):
            def forward(self, x: torch.Tensor) -> Any:
                return super().forward(x + F.relu(x.mean(0)))

        with pytest.warns(UncountedActivationWarning, match=r"1 of 3 activations are not counted"):
            score_module(Mean(), IMAGES)

    def test_steps_of_a_recurrent_layer(self) -> None:
        """The sequence comes first in the images, and the images come first in each step."""
        torch.manual_seed(0)
        layer = nn.RNN(12, 16, nonlinearity="relu")
        result = score_module(layer, torch.randn(5, 8, 12), batch_dim=1)
        assert result.num_units == 5 * 16

    def test_a_network_for_one_number_of_images(self) -> None:
        class Eight(Net):
            def forward(self, x: torch.Tensor) -> Any:
                return super().forward(x.reshape(8, 3, 16, 16))

        odd = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        with pytest.raises(ValueError, match=r"more than one dimension may run over the 8 images: say by batch_dim= which"):
            score_module(Eight(width=16), odd)
        net = Eight(width=16)
        assert score_module(net, odd, batch_dim=0).num_units == net.num_units()
