"""The NDS networks as ordinary torch modules, run with autograd: the oracle for their graphs.

They are written from the description of the published networks. They use nothing of the package except the layers of the graph
that is to be compared. Class names matter: the published hook counts every module that has "ReLU" in its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from naswot_ray import score_module
from naswot_ray.engines.engine import Scores
from naswot_ray.engines.score import score_with_weights
from naswot_ray.network import Network

Net = Mapping[str, Any]


def norm(channels: int, *layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, nn.BatchNorm2d(channels))


class ReLUConvBN(nn.Module):
    """The 1x1 preprocessing, whose name makes the published hook count its ReLU a second time."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.op = norm(c_out, nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, x: torch.Tensor) -> Any:
        return self.op(x)


class FactorizedReduce(nn.Module):
    """Even pixels and odd pixels, each with a 1x1 convolution."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.even, self.odd = (nn.Conv2d(c_in, c_out // 2, 1, bias=False) for _ in range(2))
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.relu(x)
        h, w = x.shape[2:]
        # At an odd edge the last odd pixel is missing, and counts as zero.
        odd = F.pad(x[:, :, 1::2, 1::2], (0, w % 2, 0, h % 2))
        return self.norm(torch.cat([self.even(x[:, :, ::2, ::2]), self.odd(odd)], dim=1))


class Zero(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.0 * x[:, :, :: self.stride, :: self.stride]


def operation(name: str, c: int, stride: int) -> nn.Module:
    """Make an operation of the published table from its name."""
    if name == "none":
        return Zero(stride)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(c, c)
    kind, kernel = name.split("_", 1) if name.startswith("conv") else name.rsplit("_", 1)
    k = int(kernel[0])
    if kind == "avg_pool":
        return nn.AvgPool2d(k, stride, padding=(k - 1) // 2, count_include_pad=False)
    if kind == "max_pool":
        return nn.MaxPool2d(k, stride, padding=(k - 1) // 2)
    if kind == "conv":
        crossed = re.fullmatch(r"(\d)x1_1x\1", kernel) is not None
        kernels = [(1, k), (k, 1)] if crossed else [(k, k)]
        strides = [(1, stride), (stride, 1)] if crossed else [(stride, stride)]
        paddings = [((a - 1) // 2, (b - 1) // 2) for a, b in kernels]
        convs = [nn.Conv2d(c, c, *shape, bias=False) for shape in zip(kernels, strides, paddings, strict=True)]
        return norm(c, nn.ReLU(), *convs)
    dilation = 2 if kind.startswith("dil") else 1
    strides_of_halves = [stride, 1] if "sep" in kind else [stride]
    return nn.Sequential(*(_separable(c, k, s, dilation) for s in strides_of_halves))


def _separable(c: int, k: int, stride: int, dilation: int) -> nn.Module:
    depthwise = nn.Conv2d(c, c, k, stride, (k - 1) // 2 * dilation, dilation, groups=c, bias=False)
    return norm(c, nn.ReLU(), depthwise, nn.Conv2d(c, c, 1, bias=False))


class Cell(nn.Module):
    def __init__(
        self, edges: Sequence[Any], concat: Sequence[int], c0: int, c1: int, c: int, *, halves: bool, after: bool
    ) -> None:
        super().__init__()
        self.inputs = nn.ModuleList([FactorizedReduce(c0, c) if after else ReLUConvBN(c0, c), ReLUConvBN(c1, c)])
        self.ops = nn.ModuleList(operation(op, c, 2 if halves and source < 2 else 1) for op, source in edges)
        self.sources, self.concat = [source for _, source in edges], concat

    def forward(self, s0: torch.Tensor, s1: torch.Tensor) -> torch.Tensor:
        states = [preprocess(s) for preprocess, s in zip(self.inputs, (s0, s1), strict=True)]
        edges = list(zip(self.ops, self.sources, strict=True))
        for (op1, i), (op2, j) in zip(edges[::2], edges[1::2], strict=True):
            states.append(op1(states[i]) + op2(states[j]))
        return torch.cat([states[i] for i in self.concat], dim=1)


class CellNetwork(nn.Module):
    """A cell network for CIFAR or, with another stem, for ImageNet."""

    def __init__(self, net: Net, *, imagenet: bool) -> None:
        super().__init__()
        c, depth = net["width"], net["depth"]
        if imagenet:
            first = norm(c // 2, nn.Conv2d(3, c // 2, 3, 2, 1, bias=False))
            second = norm(c, nn.ReLU(), nn.Conv2d(c // 2, c, 3, 2, 1, bias=False))
            third = norm(c, nn.ReLU(inplace=True), nn.Conv2d(c, c, 3, 2, 1, bias=False))
            self.stems = nn.ModuleList([nn.Sequential(first, second), third])
            c0 = c1 = c
        else:
            self.stems = nn.ModuleList([norm(3 * c, nn.Conv2d(3, 3 * c, 3, padding=1, bias=False)), nn.Identity()])
            c0 = c1 = 3 * c
        self.cells = nn.ModuleList()
        after = imagenet
        for number in range(depth):
            halves = number in (depth // 3, 2 * depth // 3)
            c *= 2 if halves else 1
            kind = "reduce" if halves else "normal"
            edges, concat = net["genotype"][kind], net["genotype"][f"{kind}_concat"]
            self.cells.append(Cell(edges, concat, c0, c1, c, halves=halves, after=after))
            c0, c1, after = c1, c * len(concat), halves
        self.classifier = nn.Linear(c1, 10)

    def forward(self, x: torch.Tensor) -> Any:
        s0 = self.stems[0](x)
        s1 = self.stems[1](s0)
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1)
        return self.classifier(s1.mean((2, 3)))


class Residual(nn.Module):
    def __init__(self, shortcut: nn.Module, f: nn.Module) -> None:
        super().__init__()
        self.shortcut, self.f, self.relu = shortcut, f, nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> Any:
        return self.relu(self.shortcut(x) + self.f(x))


def any_network(net: Net, *, pooled_stem: bool) -> nn.Sequential:
    """An AnyNet. Its layers are listed in order of execution."""
    c = 12
    k = 7 if pooled_stem else 3
    blocks: list[nn.Module] = [norm(c, nn.Conv2d(3, c, k, 2, k // 2, bias=False)), nn.ReLU(inplace=True)]
    blocks += [nn.MaxPool2d(3, 2, padding=1)] if pooled_stem else []
    for i, (depth, width, stride) in enumerate(zip(net["ds"], net["ws"], net["ss"], strict=True)):
        for number in range(depth):
            s = stride if number == 0 else 1
            ends = [(c, width, 3, s, 1), (width, width, 3, 1, 1)]
            if net["block_type"] == "res_bottleneck_block":
                inner = round(width * net["bot_muls"][i])
                ends = [(c, inner, 1, 1, 1), (inner, inner, 3, s, inner // net["num_gs"][i]), (inner, width, 1, 1, 1)]
            layers: list[nn.Module] = []
            for c_in, c_out, k, conv_stride, groups in ends:
                conv = nn.Conv2d(c_in, c_out, k, conv_stride, k // 2, groups=groups, bias=False)
                layers += [norm(c_out, conv), nn.ReLU(inplace=True)]
            if net["block_type"].startswith("res"):
                shortcut = norm(width, nn.Conv2d(c, width, 1, s, bias=False)) if (c, 1) != (width, s) else nn.Identity()
                blocks.append(Residual(shortcut, nn.Sequential(*layers[:-1])))
            else:
                blocks += layers
            c = width
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 10))


def weights_of(module: nn.Module) -> list[torch.Tensor]:
    """The weights of a module's layers in the order in which they are listed. In these modules that is the order of
    execution."""
    return [m.weight.detach() for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]


def compare(network: Network, module: nn.Module, hw: int, *, n: int = 4) -> Scores:
    """Assert that a graph and a module with the same weights agree in counts, parameters and kernels; return the score."""
    images = torch.from_numpy(np.random.default_rng(hw).standard_normal((n, 3, hw, hw), dtype=np.float32))
    weights = weights_of(module)
    assert [layer.weight_shape for layer in network.layers] == [tuple(weight.shape) for weight in weights]
    assert network.params == sum(p.numel() for p in module.parameters())
    measured = score_module(module, images, return_kernel=True)
    got = score_with_weights(network, images, lambda layer: weights[layer.layer], engine="exact", return_kernel=True)
    assert (got.num_units, got.num_units_paper) == (measured.num_units, measured.num_units_paper)
    assert got.kernel is not None
    assert measured.kernel is not None
    assert np.array_equal(got.kernel, measured.kernel)
    return got
