"""NAS-Bench-201 as ordinary torch modules, as an algorithm author would bring them, with the class names of the published code.

Written from the description of the published network. It uses nothing of the package except the shapes of its layers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from naswot_ray.network import Network, ops


class ReLUConvBN(nn.Module):
    """The block whose name makes the published hook count its ReLU a second time."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, *, inplace: bool = False) -> None:
        super().__init__()
        conv = nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.op = nn.Sequential(nn.ReLU(inplace=inplace), conv, nn.BatchNorm2d(c_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.op(x)
        return result


class Zero(nn.Module):
    """`none`: connected, but zero."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mul(0.0)


class Cell(nn.Module):
    def __init__(self, arch_id: str, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList()
        self.sources: list[list[int]] = []
        for group in arch_id.split("+"):
            sources = []
            for edge in group.strip("|").split("|"):
                op, source = edge.split("~")
                self.edges.append(_edge(op, channels))
                sources.append(int(source))
            self.sources.append(sources)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        nodes, edges = [x], iter(self.edges)
        for sources in self.sources:
            nodes.append(sum((next(edges)(nodes[source]) for source in sources), start=torch.zeros(())))
        return nodes[-1]


def _edge(op: str, channels: int) -> nn.Module:
    match op:
        case "none":
            return Zero()
        case "skip_connect":
            return nn.Identity()
        case "avg_pool_3x3":
            return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        case "nor_conv_1x1":
            return ReLUConvBN(channels, channels, 1)
        case "nor_conv_3x3":
            return ReLUConvBN(channels, channels, 3)
    raise AssertionError(op)


class Residual(nn.Module):
    """The block between two stages."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv_a = ReLUConvBN(c_in, c_out, 3, stride=2)
        self.conv_b = ReLUConvBN(c_out, c_out, 3)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, stride=2), nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        main = self.conv_b(self.conv_a(x))
        result: torch.Tensor = self.shortcut(x) + main
        return result


class TinyNetwork(nn.Module):
    """The whole network. `forward` returns features and logits, as the published one does."""

    def __init__(self, arch_id: str, cells: int = 5) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        blocks: list[nn.Module] = [Cell(arch_id, 16) for _ in range(cells)]
        for c_in, c_out in ((16, 32), (32, 64)):
            blocks += [Residual(c_in, c_out), *(Cell(arch_id, c_out) for _ in range(cells))]
        self.cells = nn.Sequential(*blocks)
        self.last = nn.Sequential(nn.BatchNorm2d(64), nn.ReLU(inplace=True))
        self.classifier = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.last(self.cells(self.stem(x)))
        features = x.mean((2, 3))
        return features, self.classifier(features)


def load_weights(module: nn.Module, network: Network, weights: Callable[[ops.Weighted], torch.Tensor]) -> None:
    """Give the weights of a network to a module whose layers are listed in order of execution."""
    layers = [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        for layer, op in zip(layers, network.layers, strict=True):
            layer.weight.copy_(weights(op))
