"""The scores of one architecture on one batch. Needs neither Ray nor a dataset."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from naswot_ray.engines.engine import Engine, Scores, default_engine, get_engine, scores_of, statistics_of
from naswot_ray.engines.weights import SeededWeights, WeightSource
from naswot_ray.measures import DEFAULT_MEASURES, Statistic, get_measures
from naswot_ray.network import Network
from naswot_ray.spaces import Space, get_space

Images = torch.Tensor | npt.NDArray[np.floating]


def score(
    architecture: object,
    images: Images,
    *,
    seed: int = 0,
    space: Space | str = "nasbench201",
    measures: Iterable[str] = DEFAULT_MEASURES,
    engine: Engine | str | None = None,
    return_kernel: bool = False,
) -> Scores:
    """Score an untrained architecture on a batch.

    Args:
        architecture: an architecture of `space`, or a `Network`. An architecture can be an arch_id, the index of the benchmark,
            or whatever else `space.arch_id_of` accepts: a matrix with operations, a genotype. The scores are those of the row
            with this arch_id in a dataset, on the same images and seed.
        images: normalised images, shape (n, channels, height, width), floating point, n >= 2. The network runs on the device
            of a tensor.
        seed: random seed of the weights.
        space: the space of the architecture, or its name; not used for a `Network`.
        measures: names of measures (`naswot-ray measures` lists them), or `all`.
        engine: the engine, or its name. `exact` gives the same kernels as the published code; the others give scores within
            1e-3 of it in less time. The default is `fast`, or `exact` for images on a GPU.
        return_kernel: whether to return K as well.

    Returns:
        the value of each measure by its name. It depends only on the arguments.

    Raises:
        ArchitectureError: the architecture is malformed, or not in the space.
        SettingsError: the space, a measure or the engine is unknown, or the engine cannot run here or cannot compute a measure.
        ValueError: the images have the wrong shape.

    Example:
        >>> images = naswot_ray.load_images("noise").batch(64, seed=0)
        >>> naswot_ray.score("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|", images)["naswot"]
    """
    batch = as_batch(images)
    if isinstance(architecture, Network):
        network = architecture
    else:
        space = get_space(space) if isinstance(space, str) else space
        network = space.network(space.arch_id_of(architecture), input_shape=batch.shape[1:])
    weights = SeededWeights(network, seed)
    return score_with_weights(network, batch, weights, measures=measures, engine=engine, return_kernel=return_kernel)


def score_with_weights(
    network: Network,
    images: Images,
    weights: WeightSource,
    *,
    measures: Iterable[str] = DEFAULT_MEASURES,
    engine: Engine | str | None = None,
    return_kernel: bool = False,
) -> Scores:
    """Score a network with your own weights. The parity vectors are checked through this function.

    Args:
        network: the architecture.
        images: as in `score`.
        weights: a function from a layer to its weight, shape `layer.weight_shape`, float32. It is called for each layer that
            has to be computed; `layer.layer` is the number of the layer in order of execution.
        measures, engine, return_kernel: as in `score`.
    """
    batch = as_batch(images)
    if not isinstance(engine, Engine):
        engine = get_engine(engine or default_engine(batch.device))
    chosen = get_measures(measures)
    engine.check_measures(chosen)
    wanted = statistics_of(chosen) | ({Statistic.KERNELS} if return_kernel else frozenset())
    forward = engine.run_forward(network, batch, weights, wanted)
    return scores_of(network, forward, chosen, kernel=forward.kernels.published if return_kernel else None)


def as_batch(images: Images) -> torch.Tensor:
    """Images as a float32 tensor, shape (n, channels, height, width).

    Raises:
        ValueError: the images are not four-dimensional or not floating point, are fewer than 2, or hold a value that is not
            finite.
    """
    batch = images if isinstance(images, torch.Tensor) else torch.from_numpy(np.require(images, requirements=["C", "W"]))
    if batch.ndim != 4 or not batch.is_floating_point():
        raise ValueError(f"images must be floating point (n, channels, height, width), got {batch.dtype} {tuple(batch.shape)}")
    if len(batch) < 2:
        raise ValueError(f"{len(batch)} image: a kernel needs at least 2")
    if not bool(torch.isfinite(batch).all()):
        raise ValueError("images hold values that are not finite")
    return batch.detach().float().contiguous()
