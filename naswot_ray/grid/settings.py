"""The settings that a run's rows depend on besides their keys, gathered from its spaces and image sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from naswot_ray.dataset.manifest import Settings
from naswot_ray.engines.weights import WEIGHTS_VERSION
from naswot_ray.images.source import BATCH_VERSION, ImageSource
from naswot_ray.measures import Measure
from naswot_ray.spaces import Space


def settings_of(
    spaces: Mapping[str, Space], sources: Iterable[ImageSource], values: Mapping[str, Any], measures: Iterable[Measure]
) -> Settings:
    """The settings of the rows that this version of the package computes.

    Args:
        spaces, sources: the spaces and image sources of the run.
        values: the options that change values by themselves, `ScoreOptions.deciding(Decides.VALUE)`.
        measures: the measures that the run computes.
    """
    return Settings(
        weights=WEIGHTS_VERSION,
        batches=BATCH_VERSION,
        values=dict(values),
        spaces={name: dict(space.settings()) for name, space in spaces.items()},
        images={source.name: dict(source.settings()) for source in sources},
        measures={one.name: one.version for one in measures},
    )
