"""`Activations`: the table of what a module executed, and what of it was counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, overload

from naswot_ray.engines.module.operations import Kind


class Fate(StrEnum):
    """Whether an activation was counted, or why not."""

    COUNTED = "counted"
    DEAD = "dead: the outputs do not depend on it"
    CONSTANT = "constant: its input does not depend on the images"
    UNALIGNED = "no dimension of its input runs over the images alone"
    SMOOTH = "not piecewise linear"
    OTHER = "no kink at zero"
    FUSED = "fused: its activations cannot be seen"


MISSED: Final = (Fate.UNALIGNED, Fate.SMOOTH, Fate.OTHER, Fate.FUSED)
"""Of activations that act on the images and the outputs, but were not counted."""


@dataclass(frozen=True)
class Activation:
    """One executed activation.

    Attributes:
        module: dotted path of the module that executed it; "" for the module that was scored.
        operation: the operation as torch calls it.
        kind: whether its input's sign is a code.
        shape: shape of its input.
        num_units: elements of its input for each image; 0 where that is not defined.
        fate: whether it was counted, or why not.
    """

    module: str
    operation: str
    kind: Kind
    shape: tuple[int, ...]
    num_units: int
    fate: Fate


class Activations(Sequence[Activation]):
    """All activations of a pass, in order of execution. Printed, they are a table."""

    def __init__(self, rows: Iterable[Activation]) -> None:
        self._rows = tuple(rows)

    @overload
    def __getitem__(self, index: int) -> Activation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Activation]: ...
    def __getitem__(self, index: int | slice) -> Activation | Sequence[Activation]:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __str__(self) -> str:
        header = ("module", "operation", "shape", "units", "counted")
        cells = [
            (row.module or ".", row.operation, "x".join(map(str, row.shape)), f"{row.num_units:,}", _told(row.fate))
            for row in self._rows
        ]
        widths = [max(len(line[i]) for line in (header, *cells)) for i in range(len(header))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if title == "units" else cell.ljust(width)
                for title, cell, width in zip(header, line, widths, strict=True)
            ).rstrip()
            for line in (header, *cells)
        )

    def __repr__(self) -> str:
        return f"<Activations: {self.summary() or 'none'}>"

    def summary(self, fates: Iterable[Fate] = tuple(Fate)) -> str:
        """How many there are of each operation and fate, in one line: `relu ×17, gelu ×4 (not piecewise linear)`."""
        wanted = set(fates)
        counts = Counter((_plain(row.operation), row.fate) for row in self._rows if row.fate in wanted)
        return ", ".join(
            f"{name} ×{number}" + ("" if fate is Fate.COUNTED else f" ({_told(fate).removeprefix('no: ')})")
            for (name, fate), number in counts.most_common()
        )

    def missed(self) -> list[Activation]:
        """Those that act on the images and the outputs, but were not counted."""
        return [row for row in self._rows if row.fate in MISSED]


def _told(fate: Fate) -> str:
    return "yes" if fate is Fate.COUNTED else f"no: {fate}"


def _plain(operation: str) -> str:
    """The operation without the mark of its form that works in place."""
    return operation.removesuffix("_")
