"""What is measured: the engines of the package, and the published procedure."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Protocol

import torch

from bench import published
from bench.sampling import Sample
from naswot_ray.network import Network
from naswot_ray.scoring.score import Score, score

PUBLISHED = "published"
SEED = 0
"""Of the weights."""


class Contestant(Protocol):
    """Something that scores networks.

    Attributes:
        name: as on the command line.
        last_stages: seconds of the last network by stage, where the engine tells.
    """

    name: str
    last_stages: Mapping[str, float] | None

    def prepare(self, sample: Sample) -> None:
        """Do what the time of a network does not hold."""

    def run(self, images: torch.Tensor) -> None:
        """Score the network that was prepared."""


class PublishedProcedure:
    """The published procedure. Its time holds the modules' construction; the graph only stands for an architecture's name."""

    def __init__(self) -> None:
        self.name = PUBLISHED
        self.last_stages: Mapping[str, float] | None = None

    def prepare(self, sample: Sample) -> None:
        self._network = sample.build()

    def run(self, images: torch.Tensor) -> None:
        published.score(self._network, images)


class PackageEngine:
    """An engine of the package. Its time holds everything from the architecture's name on: graph, plan, weights, scores."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.last_stages: Mapping[str, float] | None = None

    def prepare(self, sample: Sample) -> None:
        self._sample = sample

    def run(self, images: torch.Tensor) -> None:
        _, self.last_stages = score_with(self.name, self._sample.build(), images)


def open_contestant(name: str) -> Contestant:
    """The contestant called `name`: `published` or an engine."""
    return PublishedProcedure() if name == PUBLISHED else PackageEngine(name)


def score_with(name: str, network: Network, images: torch.Tensor) -> tuple[Score, Mapping[str, float] | None]:
    """The score of a network by an engine of the package, and the seconds by stage where the engine tells."""
    if name == "exact":
        return score(network, images, seed=SEED), None
    engine = importlib.import_module("naswot_ray.scoring.engines").get_engine(name)
    with_engine = {"engine": engine}
    return score(network, images, seed=SEED, **with_engine), getattr(engine, "last_stages", None)
