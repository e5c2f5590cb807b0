"""`Space`: what every search space offers. Each space is one file in this folder; to add one, nothing else has to change."""

from __future__ import annotations

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from naswot_ray.errors import ArchitectureError
from naswot_ray.network import Network
from naswot_ray.spaces.facts import Facts
from naswot_ray.spaces.notations import whole_number


class Space(ABC):
    """A finite set of architectures with a stable order.

    `space[i]` is the arch_id at position i, and `space.index(arch_id)` is the inverse. Iteration follows the order.
    """

    name: str
    """The space's name in datasets and on the command line."""

    facts: Facts | None = None
    """Title, citation, source and terms; None if whoever wrote the space gives none of them."""

    image_size: int = 32
    """Height and width, in pixels, of the images that its networks were trained on."""

    num_classes: int = 10
    """How many classes its networks were trained to tell apart."""

    notations: str = "an arch_id, or the index of the benchmark"
    """What `arch_id_of` accepts, for the message that refuses something else."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> str: ...

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    @abstractmethod
    def index(self, arch_id: str) -> int:
        """The position of an architecture in the order of the space.

        Raises:
            ArchitectureError: the arch_id is malformed, or not in the space.
        """

    def arch_id_of(self, architecture: object) -> str:
        """The arch_id of an architecture that is written in any notation of the space.

        Args:
            architecture: an arch_id; an int (of Python or numpy), which is the index in the benchmark's own order; or another
                notation of the space. The page about spaces lists the notations of each space.

        Raises:
            ArchitectureError: it is in no notation of the space, is malformed, or is not in the space.
        """
        number = whole_number(architecture)
        if number is not None:
            if not 0 <= number < len(self):
                raise ArchitectureError(f"index {number} is outside of {self.name} (0..{len(self) - 1})")
            return self._at_benchmark_index(number)
        if isinstance(architecture, str):
            return self[self.index(architecture)]
        raise ArchitectureError(f"{reprlib.repr(architecture)}: expected {self.notations}")

    def _at_benchmark_index(self, index: int) -> str:
        """The inverse of `benchmark_index`. A space that overrides one of the two overrides both."""
        return self[index]

    @abstractmethod
    def network(self, arch_id: str, *, input_shape: Sequence[int] = (3, 32, 32), num_classes: int = 10) -> Network:
        """The architecture as a `Network`, with the macro structure that the published scores use.

        Args:
            arch_id: may be outside the space if its notation describes more architectures than the space holds.
            input_shape: `(channels, height, width)` of one image.
            num_classes: width of the classifier; it has no influence on the score.

        Raises:
            ArchitectureError: the arch_id is malformed.
        """

    @abstractmethod
    def neighbours(self, arch_id: str) -> list[str]:
        """The other architectures of the space that one elementary change leads to, in a stable order.

        Raises:
            ArchitectureError: the arch_id is malformed, or not in the space.
        """

    @abstractmethod
    def isomorphism_class(self, arch_id: str) -> str | None:
        """A key that architectures share exactly if they compute the same family of functions; None if none is defined."""

    def architecture(self, arch_id: str) -> str:
        """The architecture in the notation of the benchmark. It is the arch_id if that describes the architecture completely.

        Raises:
            ArchitectureError: the arch_id is not in the space.
        """
        return self[self.index(arch_id)]

    def benchmark_index(self, arch_id: str) -> int | None:
        """The position in the benchmark's own order; None if the benchmark has no order.

        Raises:
            ArchitectureError: the arch_id is not in the space.
        """
        return self.index(arch_id)

    def trained_network(self, arch_id: str) -> Network:
        """The architecture as the benchmark trained it. The baselines (parameters, FLOPs) are taken from this network.

        Raises:
            ArchitectureError: the arch_id is malformed.
        """
        size = self.image_size
        return self.network(arch_id, input_shape=(3, size, size), num_classes=self.num_classes)

    def prepare(self) -> None:  # noqa: B027  most spaces have nothing to prepare
        """Compute what every row needs from the whole space. Called once, before the space is sent to the workers."""

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """What scores depend on besides the architecture, as JSON values: the macro structure and the initialisation."""
