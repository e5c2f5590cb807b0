"""The engine `exact`: one forward pass in float32, with the same bits in K as the published code.

It runs plain torch operations in the order and layout of the published code, without gradients and without module objects. All
other engines are tested against it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from naswot_ray.engines.activations import ForwardPassBuilder, find
from naswot_ray.engines.engine import Engine, check_shape
from naswot_ray.engines.weights import WeightSource
from naswot_ray.measures.statistics import ForwardPass, Statistic
from naswot_ray.network import Network, ops
from naswot_ray.network.plan import Step


class ExactEngine(Engine):
    """Runs on the device that the images are on."""

    name = "exact"
    statistics = frozenset(Statistic)

    def run_forward(
        self, network: Network, images: torch.Tensor, weights: WeightSource, wanted: Collection[Statistic]
    ) -> ForwardPass:
        return run_forward(network, images, weights, wanted)


def run_forward(network: Network, images: torch.Tensor, weights: WeightSource, wanted: Collection[Statistic]) -> ForwardPass:
    """Run a network on a batch.

    Args:
        network: the architecture.
        images: normalised images, shape (n, *network.input_shape), float32. The network runs on their device.
        weights: gives each layer its weight.
        wanted: the statistics to compute.

    Raises:
        ValueError: the images do not have the network's input shape.
    """
    check_shape(network, images)
    builder = ForwardPassBuilder(len(images), wanted)
    codes_of = {codes.node: codes for codes in network.plan.codes if codes.node is not None}
    values: dict[int, torch.Tensor] = {}
    with torch.no_grad(), _full_precision():
        for step in network.plan.steps:
            result = _execute(step, [values[i] for i in step.inputs], images, weights)
            if step.node in codes_of:
                builder.add(codes_of[step.node], find(result, wanted))
            values[step.node] = result
            for node in step.last_used:
                del values[node]
    return builder.build(network.plan.codes)


def _execute(step: Step, inputs: list[torch.Tensor], images: torch.Tensor, weights: WeightSource) -> torch.Tensor:
    match step.op:
        case ops.Input():
            return images
        case ops.Conv() as op:
            weight = weights(op).to(images.device)
            return F.conv2d(inputs[0], weight, None, op.stride, op.padding, op.dilation, op.groups)
        case ops.BatchNorm():
            return F.batch_norm(inputs[0], None, None, training=True, eps=1e-5)
        case ops.Relu():
            return F.relu(inputs[0])
        case ops.AvgPool() as op:
            return F.avg_pool2d(inputs[0], op.kernel, op.stride, op.padding, count_include_pad=False)
        case ops.MaxPool() as op:
            return F.max_pool2d(inputs[0], op.kernel, op.stride, op.padding)
        case ops.Add():
            total = inputs[0]
            for other in inputs[1:]:
                total = total + other
            return total
        case ops.Concat():
            return torch.cat(inputs, dim=1)
        case ops.Truncate() as op:
            return inputs[0][:, : op.channels]
        case ops.Shift():
            return F.pad(inputs[0], (0, 1, 0, 1))[:, :, 1:, 1:]
        case ops.Zero():
            return images.new_zeros(len(images), *step.shape)
        case ops.GlobalAvgPool():
            return inputs[0].mean((2, 3))
        case ops.Linear():
            raise ValueError("a ReLU behind a linear layer: no weight source gives biases, as no space has such a layer")


@contextmanager
def _full_precision() -> Iterator[None]:
    """Turn off TF32 in cuDNN's convolutions, which PyTorch uses by default on GPUs."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
