"""Fixtures for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from tests.cli.running import naswot_process
from tests.dataset.making import make_dataset, mean_accuracy


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A complete dataset: 8 architectures, batch sizes 4 and 8, seeds 0 and 1, and shards of 4."""
    return Path(make_dataset(tmp_path / "d", batch_sizes=(4, 8), seeds=(0, 1)).storage.root)


SAME = ("--limit", 8, "--batch-size", 4, "--batch-size", 8, "--seed", 0, "--seed", 1)
"""The options with which the dataset `root` was made."""


@pytest.fixture
def accuracies(tmp_path: Path) -> Path:
    """A CSV table with the accuracies of architectures 0 to 9."""
    rows = [mean_accuracy(i) for i in range(10)]
    table = pa.table({"arch": [row["arch_id"] for row in rows], "acc": [row["accuracy"] for row in rows]})
    pacsv.write_csv(table, tmp_path / "accuracies.csv")
    pq.write_table(table, tmp_path / "accuracies.parquet")
    return tmp_path / "accuracies.csv"


MAP = ("--map", "arch_id=arch", "--map", "cifar10/test/200=acc")


def write_images(folder: Path, *, seed: int, num_images: int = 8) -> Path:
    """A data directory with a cifar10.npz of random pixels."""
    folder.mkdir()
    pixels = np.random.default_rng(seed).integers(0, 256, (num_images, 3, 32, 32), dtype=np.uint8)
    np.savez(folder / "cifar10.npz", x_train=pixels)
    return folder


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A dataset that a process has really scored on images (three architectures in shards of two), and what it printed."""
    folder = tmp_path_factory.mktemp("run")
    data = write_images(folder / "data", seed=0)
    grid = ("--limit", 3, "--batch-size", 4, "--seed", 5, "--shard-size", 2, "--images", "cifar10", "--data", data)
    done = naswot_process("score", "-o", folder / "d", "--in-process", *grid)
    assert done.returncode == 0, done.stderr
    return folder / "d", done.stdout
