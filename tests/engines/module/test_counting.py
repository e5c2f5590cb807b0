"""How often a unit counts: the published rule goes by the names of classes, and misses what has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from naswot_ray import score_module
from tests.engines.module.networks import IMAGES, Net, kernel_of_relus
from tests.engines.module.published import published_kernel


class SmallReLUNet(Net):
    pass


class ConvBNReLU(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(c_in, c_out, 3), nn.BatchNorm2d(c_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(self.conv(x)))


def make_ReLU_model() -> Net:  # noqa: N802  the name is the point
    class Local(Net):
        pass

    return Local()


class TestNamesOfClasses:
    """The published rule looks for "ReLU" in the qualified name of a class."""

    @pytest.mark.parametrize("make", [SmallReLUNet, make_ReLU_model])
    def test_a_network_that_is_called_relu(self, make: Callable[[], Net]) -> None:
        net = make()
        result = score_module(net, IMAGES, return_kernel=True)
        np.testing.assert_array_equal(result.kernel, kernel_of_relus(net))
        assert result.num_units == result.num_units_paper == net.num_units()
        assert result.num_units_published == IMAGES[0].numel(), "the pixels"
        (note,) = result.notes
        assert note.startswith(f"the published code would count 768 units here, not {net.num_units():,}: it sees modules whose")

    def test_width_matters(self) -> None:
        narrow, wide = (score_module(SmallReLUNet(width=width), IMAGES) for width in (8, 80))
        assert narrow["naswot"] != wide["naswot"]

    def test_blocks_that_are_called_relu(self) -> None:
        torch.manual_seed(0)
        net = nn.Sequential(ConvBNReLU(3, 6), ConvBNReLU(6, 4))
        result = score_module(net, IMAGES)
        assert result.num_units == result.num_units_paper == 6 * 14 * 14 + 4 * 12 * 12
        assert result.num_units_published == 3 * 16 * 16 + 6 * 14 * 14

    def test_where_the_published_code_sees_all_its_number_stays(self) -> None:
        """It counts the input of a block with such a name, too, and the result says so."""

        class BlockReLU(nn.Sequential):
            pass

        torch.manual_seed(0)
        net = BlockReLU(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.ReLU())
        result = score_module(net, IMAGES, measures=["all"], return_kernel=True)
        np.testing.assert_array_equal(result.kernel, published_kernel(net, IMAGES))
        assert result.num_units == result.num_units_published == 768 + result.num_units_paper
        assert [note.split(" of naswot")[0] for note in result.notes] == ["768 units"]
        same = nn.Sequential(*net)
        paper = score_module(same, IMAGES, measures=["all"])
        assert {name: value for name, value in result.items() if name != "naswot"} == {
            name: value for name, value in paper.items() if name != "naswot"
        }


def test_shared_module_of_which_one_use_is_dead() -> None:
    """The published code asks the module: both uses count in `naswot`, the live one in `naswot_paper`."""

    class Shared(Net):
        def __init__(self) -> None:
            super().__init__(nn.ReLU())

        def forward(self, x: torch.Tensor) -> Any:
            y = self.conv1(x)
            self.activation(y - 1)
            return self.activation(y)

    net = Shared()
    result = score_module(net, IMAGES, return_kernel=True)
    assert (result.num_units, result.num_units_paper) == (2 * 6 * 14 * 14, 6 * 14 * 14)
    np.testing.assert_array_equal(result.kernel, published_kernel(net, IMAGES))
