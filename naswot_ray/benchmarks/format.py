"""`Format`: a kind of file with accuracies. To add the formats of a benchmark, add one file to this folder."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from naswot_ray.benchmarks.sources import ReadProgress
from naswot_ray.dataset.accuracies import AccuracyTable


@dataclass(frozen=True)
class Format:
    """One kind of official file with trained accuracies.

    Attributes:
        name: the name of the format.
        file: how messages call such a file: `a .tfrecord file`.
        holds: whose accuracies the file holds, in a few words.
        recognises: tells from the name and the kind of a path whether it is such a file. Does not open the path, which need
            not exist.
        spaces_in: tells from the name of a recognised file which spaces it can hold accuracies of. Raises `BenchmarkError` if
            no official file has that name.
        read: reads the accuracies of one of these spaces. It calls the third argument with the bytes read so far and in total,
            and raises `BenchmarkError` if the file is damaged.
    """

    name: str
    file: str
    holds: str
    recognises: Callable[[Path], bool]
    spaces_in: Callable[[Path], Collection[str]]
    read: Callable[[Path, str, ReadProgress], AccuracyTable]
