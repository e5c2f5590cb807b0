"""What a format is. One file in this folder defines the formats of one benchmark; nothing else has to change to add one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from naswot_ray.benchmarks.sources import Progress
from naswot_ray.dataset.accuracies import AccuracyTable


@dataclass(frozen=True)
class Format:
    """One kind of official file with trained accuracies.

    Attributes:
        name: of the format.
        file: what such a file is called, for messages: `a .tfrecord file`.
        holds: whose accuracies are in it, in a few words.
        recognises: whether a path is such a file, by its name and kind. Opens nothing; the path need not exist.
        spaces_in: the spaces that a recognised file may hold accuracies of, by its name. Raises `BenchmarkError` where the
            name is not one that an official file has.
        read: reads the accuracies of one of these spaces, and calls a function with the bytes read so far and in all. Raises
            `BenchmarkError` where the file is damaged.
    """

    name: str
    file: str
    holds: str
    recognises: Callable[[Path], bool]
    spaces_in: Callable[[Path], Collection[str]]
    read: Callable[[Path, str, Progress], AccuracyTable]
