"""What every search space offers. A space is one file in this folder; nothing else has to change to add one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from naswot_ray.network import Network
from naswot_ray.spaces.facts import Facts


class Space(ABC):
    """A finite set of architectures with a stable order.

    `space[i]` is the arch_id at position i, `space.index(arch_id)` its inverse, iteration follows the order.
    """

    name: str
    """The space's name in datasets and on the command line."""

    facts: Facts | None = None
    """Title, citation, source and terms; None where its authors say nothing."""

    image_size: int = 32
    """Height and width of the images that its networks were trained on."""

    num_classes: int = 10
    """Classes that its networks were trained to tell apart."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> str: ...

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    @abstractmethod
    def index(self, arch_id: str) -> int:
        """Position of an architecture in the space's order.

        Raises:
            ArchitectureError: malformed, or not in the space.
        """

    @abstractmethod
    def network(self, arch_id: str, *, input_shape: Sequence[int] = (3, 32, 32), num_classes: int = 10) -> Network:
        """The architecture as a `Network`, in the macro structure that the published scores use.

        Args:
            arch_id: need not be in the space where the notation allows more than the space holds.
            input_shape: `(channels, height, width)` of one image.
            num_classes: width of the classifier; has no influence on the score.

        Raises:
            ArchitectureError: malformed arch_id.
        """

    @abstractmethod
    def neighbours(self, arch_id: str) -> list[str]:
        """The architectures of the space that are one elementary change away, in a stable order, without itself.

        Raises:
            ArchitectureError: malformed, or not in the space.
        """

    @abstractmethod
    def isomorphism_class(self, arch_id: str) -> str | None:
        """A key shared by exactly the architectures that compute the same family of functions; None where not defined."""

    def architecture(self, arch_id: str) -> str:
        """The architecture itself in the benchmark's notation; the arch_id where that says it all.

        Raises:
            ArchitectureError: not in the space.
        """
        return arch_id

    def benchmark_index(self, arch_id: str) -> int | None:
        """Position in the benchmark's own order; None where it has none.

        Raises:
            ArchitectureError: not in the space.
        """
        return self.index(arch_id)

    def trained_network(self, arch_id: str) -> Network:
        """The architecture as the benchmark trained it; the baselines (parameters, FLOPs) are this network's.

        Raises:
            ArchitectureError: malformed arch_id.
        """
        size = self.image_size
        return self.network(arch_id, input_shape=(3, size, size), num_classes=self.num_classes)

    def prepare(self) -> None:  # noqa: B027  most spaces have nothing to prepare
        """Compute what every architecture's row needs of the whole space, once, before the space is sent to workers."""

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """What a score of this space depends on besides the architecture: macro structure, initialisation. JSON values."""
