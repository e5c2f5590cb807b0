"""What is measured: the engines of the package, and the published procedure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import torch

from bench import published
from bench.samples import Sample
from naswot_ray.engines.engine import Engine, Scores, get_engine
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.measures import DEFAULT_MEASURES, get_measures
from naswot_ray.network import Network

PUBLISHED = "published"
SEED = 0
"""Of the weights."""


class Contestant(Protocol):
    """Something that scores networks.

    Attributes:
        name: as on the command line.
        max_group: networks that it takes at once.
        last_stages: seconds of the last networks by stage, where the engine tells.
    """

    name: str
    max_group: int
    last_stages: Mapping[str, float] | None

    def prepare(self, group: Sequence[Sample]) -> None:
        """Do what the time of the networks does not hold."""

    def run(self, images: torch.Tensor) -> None:
        """Score the networks that were prepared."""


class PublishedProcedure:
    """The published procedure. Its time holds the modules' construction; the graph only stands for an architecture's name."""

    def __init__(self) -> None:
        self.name = PUBLISHED
        self.max_group = 1
        self.last_stages: Mapping[str, float] | None = None

    def prepare(self, group: Sequence[Sample]) -> None:
        self._networks = [sample.build() for sample in group]

    def run(self, images: torch.Tensor) -> None:
        for network in self._networks:
            published.score(network, images)


class PackageEngine:
    """An engine of the package. Its time holds everything from the architecture's name on: graph, plan, weights, scores."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.max_group: int = open_engine(name).max_group
        self.last_stages: Mapping[str, float] | None = None

    def prepare(self, group: Sequence[Sample]) -> None:
        self._group = group

    def run(self, images: torch.Tensor) -> None:
        score_group(self.name, [sample.build() for sample in self._group], images)
        self.last_stages = getattr(open_engine(self.name), "last_stages", None)


def open_engine(name: str) -> Engine:
    """An engine by its name, with its dtype behind it if it is not float32: `fast`, `cuda:tf32`."""
    kind, _, dtype = name.partition(":")
    return get_engine(kind, dtype or "float32")


def open_contestant(name: str) -> Contestant:
    """The contestant called `name`: `published` or an engine, as in `open_engine`."""
    return PublishedProcedure() if name == PUBLISHED else PackageEngine(name)


def score_group(
    name: str, networks: Sequence[Network], images: torch.Tensor, measures: Iterable[str] = DEFAULT_MEASURES
) -> list[Scores]:
    """The scores of at most `max_group` networks by an engine. Raises what a network failed with."""
    scores: list[Scores] = []
    for result in open_engine(name).score_group(
        networks, images, [SeededWeights(network, SEED) for network in networks], get_measures(measures)
    ):
        if isinstance(result, Exception):
            raise result
        scores.append(result)
    return scores
