"""Fixtures of publishing: a dataset with every kind of row, and its publications."""

from __future__ import annotations

from pathlib import Path

import pytest

from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from naswot_ray.publish.compaction import FileFormat
from naswot_ray.publish.publish import publish
from tests.dataset.making import FAILED, SINGULAR, SPACE, Row, add, make_dataset, mean_accuracy

ACCURACY = 87.65432109
"""A third party's number that is only in the accuracies."""


MECO_FAILED = "ArithmeticError: the value is NaN"
"""The error with which `meco` fails, alone."""


def changed(row: Row) -> Row:
    """Architecture 1 fails at every seed, and architecture 2 is singular. `meco` exists at batch size 8, but fails once."""
    index = row["arch_index"]
    if index == 1:
        return FAILED
    changes = dict(SINGULAR) if index == 2 else {}
    if row["batch_size"] == 8:
        fails = (index, row["seed"]) == (5, 1)
        changes |= {"meco": None, "error": f"meco: {MECO_FAILED}"} if fails else {"meco": 10.0 - index + row["seed"]}
    return changes


def make(root: Path, *, shard_size: int = 4) -> Dataset:
    """Eight architectures at batch sizes 4 and 8 with seeds 0 and 1, joined with accuracies."""
    dataset = make_dataset(root, batch_sizes=(4, 8), seeds=(0, 1), shard_size=shard_size, change=changed)
    rows = [mean_accuracy(i, accuracy=ACCURACY - i) for i in range(8)]
    add(dataset, [*rows, *({**row, "seed": 777, "num_repeats": None, "max_accuracy": None} for row in rows)])
    join(dataset, SPACE)
    return dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return make(tmp_path / "d")


@pytest.fixture(scope="package")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The dataset and its publications: `own`, `all` with accuracies, and `arrow` as Arrow files."""
    folder = tmp_path_factory.mktemp("published")
    dataset = make(folder / "d")
    publish(dataset, folder / "own")
    publish(dataset, folder / "all", include_accuracies=True)
    publish(dataset, folder / "arrow", file_format=FileFormat.ARROW, include_accuracies=True)
    return {name: folder / name for name in ("d", "own", "all", "arrow")}
