"""Networks that several tests score."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from naswot_ray import load_images
from naswot_ray.engines.activations import agreements
from tests.engines.module.spellings import Spelling

IMAGES = torch.from_numpy(load_images("noise").batch(8, seed=0)[:, :, :16, :16].copy())


class Net(nn.Module):
    """conv - activation - conv - batch norm - activation, and a mean; the activations are functions."""

    def __init__(self, activation: Spelling = F.relu, *, width: int = 6) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2, self.bn = nn.Conv2d(3, width, 3), nn.Conv2d(width, 4, 3), nn.BatchNorm2d(4)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> Any:
        return self.activation(self.bn(self.conv2(self.activation(self.conv1(x))))).mean((2, 3))

    def num_units(self) -> int:
        return self.conv1.out_channels * 14 * 14 + 4 * 12 * 12


def kernel_of_relus(net: Net) -> Any:
    """K of the two tensors that its activations read, if they are ReLUs."""
    net = copy.deepcopy(net).train()
    with torch.no_grad():
        first = net.conv1(IMAGES)
        return agreements(first) + agreements(net.bn(net.conv2(first.relu())))
