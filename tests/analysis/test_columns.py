"""Points of hand-made rows are aligned columns."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from naswot_ray.analysis.columns import list_points, load_points, rank_correlation, seed_values
from naswot_ray.dataset.dataset import Dataset
from tests.dataset.making import FAILED, SINGULAR, Row, add, arch_id, make_dataset, mean_accuracy


def scores(row: Row) -> Row:
    """Scores of the two seeds differ by one. Architecture 1 is singular, and architecture 2 fails on one seed."""
    if row["arch_index"] == 1:
        return SINGULAR
    if row["arch_index"] == 2 and row["seed"] == 1:
        return FAILED
    return {"naswot": 100.0 + row["arch_index"] + row["seed"]}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Architectures 0 to 5 at batch sizes 4 and 8 with seeds 0 and 1, and accuracies of 1 to 9 after 12 and 200 epochs."""
    made = make_dataset(tmp_path / "d", indices=range(6), batch_sizes=(4, 8), seeds=(0, 1), change=scores)
    add(made, [mean_accuracy(i, epochs=epochs, accuracy=float(epochs - i)) for i in range(1, 10) for epochs in (12, 200)])
    return made


def test_columns_are_aligned_with_the_architectures(dataset: Dataset) -> None:
    assert list_points(dataset) == [("nasbench201", "noise")]
    points = load_points(dataset, "nasbench201", "noise")
    assert points.arch_ids == [arch_id(i) for i in range(6)]
    assert list(points.columns) == [
        *("naswot_4", "naswot_8", "naswot_paper_4", "naswot_paper_8"),
        *("params", "flops", "num_relus", "num_layers", "cifar10_test_200"),
    ]
    np.testing.assert_array_equal(points.columns["naswot_8"].values, [100.5, -math.inf, math.nan, 103.5, 104.5, 105.5])
    np.testing.assert_array_equal(points.columns["params"].values, [0, 10, 20, 30, 40, 50])
    np.testing.assert_array_equal(points.columns["cifar10_test_200"].values, [math.nan, 199, 198, 197, 196, 195])
    assert points.measures == ["naswot", "naswot_paper"]
    assert points.main_column() is points.columns["naswot_8"]
    assert points.main_column("naswot_paper") is points.columns["naswot_paper_8"]
    assert points.main_column("meco") is None
    assert points.main_accuracy is points.columns["cifar10_test_200"]


def test_the_main_column_is_that_of_the_most_architectures(tmp_path: Path) -> None:
    def change(row: Row) -> Row:
        return FAILED if row["batch_size"] == 8 and row["arch_index"] > 3 else {}

    points = load_points(make_dataset(tmp_path / "d", batch_sizes=(4, 8), change=change), "nasbench201", "noise")
    main = points.main_column()
    assert main is not None
    assert (main.measure, main.batch_size) == ("naswot", 4)
    assert points.main_accuracy is None


def test_values_of_single_seeds(dataset: Dataset) -> None:
    points = load_points(dataset, "nasbench201", "noise")
    found = seed_values(dataset, points, "naswot")
    assert {size: list(of_seeds) for size, of_seeds in found.items()} == {4: [0, 1], 8: [0, 1]}
    np.testing.assert_array_equal(found[4][0], [100, -math.inf, 102, 103, 104, 105])
    np.testing.assert_array_equal(found[4][1], [101, -math.inf, math.nan, 104, 105, 106])


def test_a_measure_has_its_own_seeds_and_batch_sizes(tmp_path: Path) -> None:
    """The second measure exists only at batch size 8 on seed 1, and lacks one architecture there; naswot exists nowhere."""

    def change(row: Row) -> Row:
        has_swap = (row["batch_size"], row["seed"]) == (8, 1) and row["arch_index"] != 2
        return {"naswot": None, "swap": 5.0 * row["arch_index"] if has_swap else None}

    made = make_dataset(tmp_path / "d", indices=range(4), batch_sizes=(4, 8), seeds=(0, 1), change=change)
    points = load_points(made, "nasbench201", "noise")
    swap = points.columns["swap_8"]
    assert points.measures == ["naswot_paper", "swap"]
    assert "swap_4" not in points.columns
    assert (swap.num_seeds, swap.label) == (1, "swap, batch size 8, seed 1")
    np.testing.assert_array_equal(swap.values, [0, 5, math.nan, 15])
    assert points.main_column() is points.columns["naswot_paper_8"], "the first that has values"
    found = seed_values(made, points, "swap")
    assert {size: list(of_seeds) for size, of_seeds in found.items()} == {8: [1]}
    with made.connect() as connection:
        rows = connection.sql(f"SELECT arch_index, {swap.sql} FROM scores GROUP BY ALL ORDER BY ALL").fetchall()
    assert rows == [(0, 0.0), (1, 5.0), (2, None), (3, 15.0)]


def test_rank_correlation_leaves_out_what_is_missing_and_ranks_singular_last() -> None:
    x = np.array([-math.inf, 1.0, 2.0, math.nan, 3.0])
    np.testing.assert_allclose(rank_correlation(x, np.array([0.0, 1, 2, -5, 3])), (1, 4))
    np.testing.assert_allclose(rank_correlation(x, np.array([9.0, 1, 2, 5, math.nan])), (-1 / 3, 3))
    tau, count = rank_correlation(x[:1], x[:1])
    assert math.isnan(tau)
    assert count == 1
