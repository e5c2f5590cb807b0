"""Short ways to what tests of engines often ask for."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from naswot_ray.engines.engine import Engine, Scores
from naswot_ray.engines.weights import WeightSource
from naswot_ray.measures import DEFAULT_MEASURES, Statistic, get_measures
from naswot_ray.measures.kernel import Kernels
from naswot_ray.network import Network


def kernels_of(engine: Engine, network: Network, images: torch.Tensor, weights: WeightSource) -> Kernels:
    """The two kernels that an engine finds."""
    return engine.run_forward(network, images, weights, [Statistic.KERNELS]).kernels


def score_group(
    engine: Engine, networks: Sequence[Network], images: torch.Tensor, weights: Sequence[WeightSource]
) -> list[Scores | Exception]:
    """The statistics that an engine finds for the default measures."""
    return engine.score_group(networks, images, weights, get_measures(DEFAULT_MEASURES))
