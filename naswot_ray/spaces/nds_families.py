"""The families of NDS. Each is a JSON file of the official archive, and a space here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Networks = Literal["cells", "residual", "plain"]
"""The kind of networks. `cells`: networks of cells. `residual`: AnyNets of residual blocks with a stem that pools
(`res_stem_in`). `plain`: AnyNets of plain blocks with a stem that does not (`simple_stem_in`)."""

DESIGNS: Final[Mapping[str, Networks]] = {
    "Amoeba": "cells",
    "DARTS": "cells",
    "ENAS": "cells",
    "NASNet": "cells",
    "PNAS": "cells",
    "ResNeXt-A": "residual",
    "ResNeXt-B": "residual",
    "ResNet": "residual",
    "ResNet-B": "residual",
    "Vanilla": "plain",
}
"""Design space, by its name in the official files -> the kind of its networks."""


@dataclass(frozen=True)
class Family:
    """Networks of one design space that were trained in the same way.

    Attributes:
        design: a key of `DESIGNS`.
        variant: how the training or the sample differed (`lr-wd`: other learning rates and weight decays, ...); empty for the
            standard one.
        trained_on: the data set, by its name in accuracy tables.
    """

    design: str
    variant: str = ""
    trained_on: Literal["cifar10", "imagenet"] = "cifar10"

    @property
    def stem(self) -> str:
        """The name of the JSON file without `.json`."""
        parts = (self.design, self.variant, "in" if self.trained_on == "imagenet" else "")
        return "_".join(part for part in parts if part)

    @property
    def space(self) -> str:
        """The name of the space."""
        return f"nds_{self.stem.lower()}"

    @property
    def networks(self) -> Networks:
        """The kind of its networks."""
        return DESIGNS[self.design]


_ALL: Final = (
    Family("Amoeba"),
    Family("Amoeba", trained_on="imagenet"),
    Family("DARTS"),
    Family("DARTS", "fix-w-d"),
    Family("DARTS", trained_on="imagenet"),
    Family("DARTS", "lr-wd"),
    Family("DARTS", "lr-wd", "imagenet"),
    Family("ENAS"),
    Family("ENAS", "fix-w-d"),
    Family("ENAS", trained_on="imagenet"),
    Family("NASNet"),
    Family("NASNet", trained_on="imagenet"),
    Family("PNAS"),
    Family("PNAS", "fix-w-d"),
    Family("PNAS", trained_on="imagenet"),
    Family("ResNeXt-A"),
    Family("ResNeXt-A", trained_on="imagenet"),
    Family("ResNeXt-B"),
    Family("ResNeXt-B", trained_on="imagenet"),
    Family("ResNet"),
    Family("ResNet-B"),
    Family("ResNet", "lr-wd"),
    Family("ResNet", "lr-wd", "imagenet"),
    Family("ResNet", "reruns"),
    Family("ResNet", "rng1"),
    Family("ResNet", "rng2"),
    Family("ResNet", "rng3"),
    Family("Vanilla"),
    Family("Vanilla", "lr-wd"),
    Family("Vanilla", "lr-wd", "imagenet"),
    Family("Vanilla", "reruns"),
    Family("Vanilla", "rng1"),
    Family("Vanilla", "rng2"),
    Family("Vanilla", "rng3"),
)

FAMILIES: Final[Mapping[str, Family]] = {family.stem: family for family in _ALL}
"""Stem of the JSON file -> family."""
