"""Values of a few architectures with one thing changed at a time (Mellor et al. 2021, section 4, "Ablation study").

In a dataset a seed draws weights and minibatch together. Here each is drawn by a seed of its own, so that what comes from which
can be told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from naswot_ray.engines.engine import Scores, able_engine, get_engine
from naswot_ray.engines.score import score_with_weights
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.images.source import ImageSource
from naswot_ray.measures import Measure
from naswot_ray.philox import sample_without_replacement
from naswot_ray.spaces import Space


class Factor(StrEnum):
    """What is changed, while everything else stays as it is."""

    INITIALISATION = "initialisation"
    """The seed of the weights."""

    MINIBATCH = "minibatch"
    """The seed of the images."""

    NOISE = "noise"
    """Random images instead of real ones; their seed."""

    BATCH_SIZE = "batch size"
    """The number of images."""


@dataclass(frozen=True)
class Level:
    """One setting of a factor.

    Attributes:
        factor: what is changed.
        images: name of the image source.
        batch_size, weights_seed, images_seed: of the score.
    """

    factor: Factor
    images: str
    batch_size: int
    weights_seed: int
    images_seed: int


@dataclass(frozen=True)
class Ablated:
    """What an architecture gets at one level.

    Attributes:
        arch_id, level: which architecture, and what it was computed on.
        values: measure -> value; -inf where K is singular. A measure that failed is not there.
    """

    arch_id: str
    level: Level
    values: Mapping[str, float]


def levels(images: ImageSource, noise: ImageSource, batch_size: int, batch_sizes: Sequence[int], repeats: int) -> list[Level]:
    """Every setting, around seed 0 of the weights, seed 0 of the images and `batch_size`.

    Weights, images and noise take the seeds 0 to `repeats` - 1 in turn; the batch size takes `batch_sizes` and `batch_size`.

    Noise is left out where the images are noise.
    """
    seeds = range(repeats)
    found = [Level(Factor.INITIALISATION, images.name, batch_size, seed, 0) for seed in seeds]
    found += [Level(Factor.MINIBATCH, images.name, batch_size, 0, seed) for seed in seeds]
    if noise.name != images.name:
        found += [Level(Factor.NOISE, noise.name, batch_size, 0, seed) for seed in seeds]
    return found + [Level(Factor.BATCH_SIZE, images.name, n, 0, 0) for n in sorted({*batch_sizes, batch_size})]


def draw_architectures(space: Space, num: int) -> list[str]:
    """`num` random architectures of a space, always the same, in its order; a smaller number is part of a larger one."""
    drawn = sample_without_replacement(("ablation", space.name), len(space), min(num, len(space)))
    return [space[index] for index in sorted(drawn.tolist())]


def ablate(
    space: Space,
    arch_ids: Sequence[str],
    sources: Sequence[ImageSource],
    wanted: Sequence[Level],
    measures: Sequence[Measure],
    engine: str | None = None,
) -> Iterator[Ablated]:
    """Compute measures of architectures at every level, level by level, all measures in one pass.

    Args:
        space: of the architectures.
        arch_ids: which.
        sources: the levels' image sources.
        wanted: the levels.
        measures: what to compute.
        engine: what computes; None for `fast` if it gives the measures, or else `exact`.

    Raises:
        SettingsError: the engine cannot give a measure.
    """
    by_name = {source.name: source for source in sources}
    names = [one.name for one in measures]
    shape = sources[0].shape
    networks = [space.network(arch_id, input_shape=shape) for arch_id in arch_ids]
    known: dict[tuple[str, str, int, int, int], Scores] = {}
    opened = get_engine(engine or able_engine(measures))
    for level in wanted:
        setting = (level.images, level.batch_size, level.weights_seed, level.images_seed)
        batch = by_name[level.images].batch(level.batch_size, level.images_seed)
        for arch_id, network in zip(arch_ids, networks, strict=True):
            key = (arch_id, *setting)
            if key not in known:
                weights = SeededWeights(network, level.weights_seed)
                known[key] = score_with_weights(network, batch, weights, measures=names, engine=opened)
            yield Ablated(arch_id, level, dict(known[key]))
