"""The score of one architecture on one batch, for algorithm people. Needs neither Ray nor a dataset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from naswot_ray.network import Network
from naswot_ray.scoring.engines import Engine, Score, default_engine, get_engine, score_of
from naswot_ray.scoring.weights import SeededWeights, WeightSource
from naswot_ray.spaces import Space, get_space

Images = torch.Tensor | npt.NDArray[np.floating]


def score(
    architecture: Network | str,
    images: Images,
    *,
    seed: int = 0,
    space: Space | str = "nasbench201",
    engine: Engine | str | None = None,
    return_kernel: bool = False,
) -> Score:
    """Score an untrained architecture on a batch as the published code does.

    Args:
        architecture: an arch_id of `space`, or a `Network`.
        images: normalised images, shape (n, channels, height, width), floating point, n >= 2. A tensor's device is where
            the network runs.
        seed: of the weights.
        space: the space an arch_id belongs to, or its name; not used for a `Network`.
        engine: what runs the network, or its name: `exact` has the published code's very kernels, the others its scores within
            1e-3 in less time. Default: `fast`, or `exact` for images on a GPU.
        return_kernel: whether to return K as well.

    Returns:
        the score, a pure function of the arguments.

    Raises:
        ArchitectureError: a malformed arch_id.
        SettingsError: an unknown space or engine, or one that cannot run here.
        ValueError: images of the wrong shape.

    Example:
        >>> images = naswot_ray.load_images("noise").batch(64, seed=0)
        >>> naswot_ray.score("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|", images, seed=0).score
    """
    batch = as_batch(images)
    if isinstance(architecture, str):
        space = get_space(space) if isinstance(space, str) else space
        architecture = space.network(architecture, input_shape=batch.shape[1:])
    weights = SeededWeights(architecture, seed)
    return score_with_weights(architecture, batch, weights, engine=engine, return_kernel=return_kernel)


def score_with_weights(
    network: Network,
    images: Images,
    weights: WeightSource,
    *,
    engine: Engine | str | None = None,
    return_kernel: bool = False,
) -> Score:
    """Score a network with weights of the caller's: the hook that parity vectors are checked through.

    Args:
        network: the architecture.
        images: as in `score`.
        weights: called with each layer that has to be computed (`layer.layer` is its number in order of execution), returns
            its weight, shape `layer.weight_shape`, float32.
        engine, return_kernel: as in `score`.
    """
    batch = as_batch(images)
    if not isinstance(engine, Engine):
        engine = get_engine(engine or default_engine(batch.device))
    result = score_of(network, engine.compute_kernels(network, batch, weights))
    return result if return_kernel else replace(result, kernel=None)


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
    return batch.detach().float().contiguous()
