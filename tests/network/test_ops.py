"""Shapes, parameters and cost of the operations are compared with torch, and a builder refuses what it should."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from naswot_ray.engines.weights import SeededWeights
from naswot_ray.network import Network, NetworkBuilder, ops
from tests.network.oracle import measure
from tests.network.strategies import networks

BATCH = 2


def _images(network: Network) -> torch.Tensor:
    return torch.randn(BATCH, *network.input_shape, generator=torch.Generator().manual_seed(0))


@settings(max_examples=300, deadline=None)
@given(networks())
def test_shapes_are_those_of_torch(network: Network) -> None:
    values = measure(network, _images(network), SeededWeights(network, 0)).values
    assert [node.shape for node in network.nodes] == [tuple(value.shape[1:]) for value in values]


@settings(max_examples=200, deadline=None)
@given(networks())
def test_params_are_those_of_torch_modules(network: Network) -> None:
    counted = sum(p.numel() for node in network.nodes for p in _module(node.op, node.shape).parameters())
    assert network.params == counted


@settings(max_examples=100, deadline=None)
@given(networks())
def test_flops_are_those_that_torch_counts(network: Network) -> None:
    """torch counts two for each multiply-accumulate and leaves out the bias. The benchmarks count one, and one for each
    bias."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        values: list[torch.Tensor] = []
        for node in network.nodes:
            inputs = [values[i] for i in node.inputs]
            values.append(_module(node.op, node.shape)(*inputs) if inputs else _images(network))
            assert values[-1].shape[1:] == node.shape
    biases = sum(node.op.out_features for node in network.nodes if isinstance(node.op, ops.Linear))
    assert network.flops == counter.get_total_flops() // (2 * BATCH) + biases


class _Function(nn.Module):
    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.function(*inputs)


def _module(op: ops.Op, shape: ops.Shape) -> nn.Module:
    """The torch module that corresponds to an operation."""
    match op:
        case ops.Conv():
            return nn.Conv2d(
                op.in_channels, op.out_channels, op.kernel, op.stride, op.padding, op.dilation, op.groups, bias=False
            )
        case ops.Linear():
            return nn.Linear(op.in_features, op.out_features)
        case ops.BatchNorm():
            return nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0])
        case ops.Relu():
            return nn.ReLU()
        case ops.AvgPool():
            return nn.AvgPool2d(op.kernel, op.stride, op.padding, count_include_pad=False)
        case ops.MaxPool():
            return nn.MaxPool2d(op.kernel, op.stride, op.padding)
        case ops.GlobalAvgPool():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case ops.Add():
            return _Function(lambda *xs: torch.stack(xs).sum(0))
        case ops.Concat():
            return _Function(lambda *xs: torch.cat(xs, 1))
        case ops.Truncate() as cut:
            return _Function(lambda x: x[:, : cut.channels])
        case ops.Shift():
            return _Function(lambda x: nn.ZeroPad2d((0, 1, 0, 1))(x)[:, :, 1:, 1:])
        case ops.Zero() as zero:
            return _Function(lambda x: x[:, :, :: zero.stride, :: zero.stride] * 0)
        case ops.Input():
            return nn.Identity()


def test_counts_by_hand() -> None:
    b = NetworkBuilder((3, 8, 8))
    x = b.batch_norm(b.conv(b.input, 4, 3, stride=2, padding=1))
    x = b.linear(b.global_avg_pool(b.relu(b.conv(x, 6, 1, groups=2))), 10)
    network = b.build(x, arch_id="by hand")
    assert network.params == 4 * 3 * 9 + 2 * 4 + 6 * 2 * 1 + (6 * 10 + 10)
    assert network.flops == 16 * (4 * 3 * 9) + 16 * (6 * 2) + (6 * 10 + 10)
    assert network.num_layers == 3
    assert [layer.weight_shape for layer in network.layers] == [(4, 3, 3, 3), (6, 2, 1, 1), (10, 6)]
    assert [layer.layer for layer in network.layers] == [0, 1, 2]


def test_dead_branches_cost() -> None:
    """The benchmarks count parameters and FLOPs of everything that the network holds, dead parts included."""
    b = NetworkBuilder((3, 8, 8))
    x = b.conv(b.input, 4, 3)
    b.conv(x, 5, 1)
    network = b.build(b.relu(x), arch_id="dead")
    assert network.params == 4 * 27 + 4 * 5
    assert network.flops == 36 * (4 * 27 + 4 * 5)


def test_builder_reports_shapes() -> None:
    b = NetworkBuilder([3, 9, 7])
    assert b.shape(b.input) == (3, 9, 7)
    assert b.shape(b.zero(b.input, stride=2)) == (3, 5, 4)
    assert b.shape(b.conv(b.input, 4, 3, stride=2, padding=2, dilation=2)) == (4, 5, 4)
    assert b.shape(b.max_pool(b.input, 3, stride=2)) == (3, 4, 3)
    assert b.shape(b.concat(b.input, b.truncate(b.input, 2))) == (5, 9, 7)
    assert b.shape(b.conv(b.input, 4, (1, 7), stride=(1, 2), padding=(0, 3))) == (4, 9, 4)
    assert b.shape(b.shift(b.input)) == (3, 9, 7)
    assert b.build(0, arch_id="a").input_shape == (3, 9, 7)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda b: b.conv(0, 4, 3, groups=2), r"Conv\(.*groups=2\) does not fit an input of 3 channels"),
        (lambda b: b.conv(0, 4, 3, groups=3), r"Conv\(.*out_channels=4.*groups=3\) does not fit"),
        (lambda b: b.conv(0, 4, 9), r"Conv\(.*kernel=\(9, 9\).*\) does not fit an input 8 pixels wide"),
        (lambda b: b.conv(0, 4, 5, dilation=2), r"Conv\(.*dilation=2.*\) does not fit an input 8 pixels wide"),
        (lambda b: b.conv(b.global_avg_pool(0), 4, 1), r"Conv\(.*\) takes one input of shape \(channels, height, width\)"),
        (lambda b: b.conv(0, 4, 0), r"Conv\(.*kernel=\(0, 0\).*\): a kernel and its stride have at least 1 pixel"),
        (lambda b: b.max_pool(0, 2, stride=0), r"MaxPool\(.*stride=0.*\): a kernel and its stride have at least 1 pixel"),
        (lambda b: b.avg_pool(0, 9), r"AvgPool\(kernel=9.*\) does not fit an input 8 pixels wide"),
        (lambda b: b.max_pool(0, 2, padding=2), r"MaxPool\(kernel=2.*\): padding exceeds half of the kernel"),
        (lambda b: b.max_pool(b.global_avg_pool(0), 2), r"MaxPool\(.*\) takes one input of shape .*got \(\(3,\),\)"),
        (lambda b: b.global_avg_pool(b.global_avg_pool(0)), r"GlobalAvgPool\(\) takes one input .*got \(\(3,\),\)"),
        (lambda b: b.linear(0, 10), r"Linear\(.*\) does not fit an input of shape \(3, 8, 8\)"),
        (lambda b: b.add(0, b.conv(0, 4, 1)), r"cannot add shapes \(\(3, 8, 8\), \(4, 8, 8\)\)"),
        (lambda b: b.add(), r"cannot add shapes \(\)"),
        (lambda b: b.concat(0, b.avg_pool(0, 2)), r"cannot concatenate shapes \(\(3, 8, 8\), \(3, 7, 7\)\)"),
        (lambda b: b.concat(), r"cannot concatenate shapes \(\)"),
        (lambda b: b.truncate(0, 4), "cannot keep 4 of 3 channels"),
        (lambda b: b.truncate(0, 0), "cannot keep 0 of 3 channels"),
        (lambda b: b.zero(b.global_avg_pool(0)), r"Zero\(stride=1\) takes one input of shape"),
    ],
)
def test_builder_refuses_what_does_not_fit(build: Callable[[NetworkBuilder], int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(NetworkBuilder((3, 8, 8)))
