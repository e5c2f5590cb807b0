"""Blocks that occur in the networks of several spaces, with the multiplicities that the published code gives their ReLUs."""

from __future__ import annotations

from naswot_ray.network import NetworkBuilder


def relu_conv_bn(b: NetworkBuilder, x: int, channels: int, kernel: int, *, stride: int = 1) -> int:
    """Append ReLU-Conv-BN (`ReLUConvBN` in the code of NAS-Bench-201, NATS-Bench and DARTS). Its ReLU counts twice."""
    # The published hook matches "ReLU" in the names of both the block and the ReLU inside it.
    x = b.relu(x, multiplicity=2)
    return b.batch_norm(b.conv(x, channels, kernel, stride=stride, padding=kernel // 2))


def residual_block(b: NetworkBuilder, x: int, channels: int) -> int:
    """Append the residual block of stride 2 between two stages of NAS-Bench-201 and NATS-Bench (`ResNetBasicblock`)."""
    residual = relu_conv_bn(b, relu_conv_bn(b, x, channels, 3, stride=2), channels, 3)
    shortcut = b.conv(b.avg_pool(x, 2, stride=2), channels, 1)
    return b.add(shortcut, residual)
