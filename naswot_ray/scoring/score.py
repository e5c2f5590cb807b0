"""The score of one architecture on one batch, for algorithm people. Needs neither Ray nor a dataset."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from naswot_ray.network import Network
from naswot_ray.scoring import exact
from naswot_ray.scoring.kernel import IntMatrix, log_det
from naswot_ray.scoring.weights import SeededWeights, WeightSource
from naswot_ray.spaces import Space, get_space

Images = torch.Tensor | npt.NDArray[np.floating]


@dataclass(frozen=True)
class Score:
    """What one network scores on one batch.

    Attributes:
        score: log|det K| with the multiplicities of the published code; -inf where K is singular.
        score_paper: the same with every counted ReLU once (the paper's formula).
        num_units: N_A of `score`: ReLU units with multiplicities. diag(K) = N_A.
        num_units_paper: N_A of `score_paper`.
        kernel: K of `score`, shape (n, n), int64, if asked for.
    """

    score: float
    score_paper: float
    num_units: int
    num_units_paper: int
    kernel: IntMatrix | None = field(default=None, repr=False)

    @property
    def status(self) -> Literal["ok", "singular"]:
        """`singular` where two images cannot be told apart, so that det K = 0."""
        return "singular" if math.isinf(self.score) else "ok"


def score(
    architecture: Network | str,
    images: Images,
    *,
    seed: int = 0,
    space: Space | str = "nasbench201",
    return_kernel: bool = False,
) -> Score:
    """Score an untrained architecture on a batch, exactly as the published code does.

    Args:
        architecture: an arch_id of `space`, or a `Network`.
        images: normalised images, shape (n, channels, height, width), floating point, n >= 2. A tensor's device is where
            the network runs.
        seed: of the weights.
        space: the space an arch_id belongs to, or its name; not used for a `Network`.
        return_kernel: whether to return K as well.

    Returns:
        the score, a pure function of the arguments.

    Raises:
        ArchitectureError: a malformed arch_id.
        SettingsError: an unknown space.
        ValueError: images of the wrong shape.

    Example:
        >>> images = naswot_ray.load_images("noise").batch(64, seed=0)
        >>> naswot_ray.score("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|", images, seed=0).score
    """
    batch = as_batch(images)
    if isinstance(architecture, str):
        space = get_space(space) if isinstance(space, str) else space
        architecture = space.network(architecture, input_shape=batch.shape[1:])
    return score_with_weights(architecture, batch, SeededWeights(architecture, seed), return_kernel=return_kernel)


def score_with_weights(network: Network, images: Images, weights: WeightSource, *, return_kernel: bool = False) -> Score:
    """Score a network with weights of the caller's: the hook that parity vectors are checked through.

    Args:
        network: the architecture.
        images: as in `score`.
        weights: called with each layer that has to be computed (`layer.layer` is its number in order of execution), returns
            its weight, shape `layer.weight_shape`, float32.
        return_kernel: whether to return K as well.
    """
    kernels = exact.compute_kernels(network, as_batch(images), weights)
    return Score(
        score=log_det(kernels.published),
        score_paper=log_det(kernels.paper),
        num_units=network.num_units,
        num_units_paper=network.num_units_paper,
        kernel=kernels.published if return_kernel else None,
    )


def as_batch(images: Images) -> torch.Tensor:
    """Images as a float32 tensor (n, channels, height, width).

    Raises:
        ValueError: not four-dimensional, not floating point, fewer than 2 images, or a value that is not finite.
    """
    batch = images if isinstance(images, torch.Tensor) else torch.from_numpy(np.require(images, requirements=["C", "W"]))
    if batch.ndim != 4 or not batch.is_floating_point():
        raise ValueError(f"images must be floating point (n, channels, height, width), got {batch.dtype} {tuple(batch.shape)}")
    if len(batch) < 2:
        raise ValueError(f"{len(batch)} image: a kernel needs at least 2")
    if not bool(torch.isfinite(batch).all()):
        raise ValueError("images hold values that are not finite")
    return batch.float().contiguous()
