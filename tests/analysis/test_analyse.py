"""The tables of an analysis, on hand-made rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from naswot_ray.analysis.analyse import Analysis, Repeats, analyse
from naswot_ray.analysis.markdown import render
from naswot_ray.dataset import layout
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from naswot_ray.errors import DatasetError
from tests.dataset.making import FAILED, SINGULAR, SPACE, Row, add, make_dataset, mean_accuracy, score_row, write_part

INF = math.inf
NUM = 24
ACCURACIES = [float(a) for a in np.random.default_rng(3).integers(50, 90, NUM)]


def score_of(row: Mapping[str, Any]) -> float:
    """A made-up score: of the accuracy's order, but for noise that depends on the row's key."""
    noise = np.random.default_rng([row["arch_index"], row["batch_size"], row["seed"]]).normal(scale=10)
    accuracy: float = ACCURACIES[row["arch_index"]]
    return accuracy + float(noise)


def joined(root: Path, special: Mapping[tuple[int, int], Row] | None = None, **options: Any) -> Dataset:
    """A joined dataset of 24 architectures, batch sizes 4 and 8, seeds 0 to 2; (index, seed) -> what is special."""
    special = special or {}

    def change(row: Row) -> Row:
        return special.get((row["arch_index"], row["seed"]), {"naswot": score_of(row)})

    grid = {"batch_sizes": (4, 8), "seeds": (0, 1, 2)} | options
    dataset = make_dataset(root, indices=range(NUM), change=change, **grid)
    add(dataset, [mean_accuracy(i, accuracy=a, max_accuracy=100 - a) for i, a in enumerate(ACCURACIES)])
    join(dataset, SPACE)
    return dataset


def find(analysis: Analysis, **wanted: Any) -> list[Row]:
    rows: list[Row] = analysis.rows.to_pylist()
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def one(analysis: Analysis, **wanted: Any) -> Row:
    (row,) = find(analysis, **({"given": None, "predictor": "naswot", "batch_size": 4, "seed": None} | wanted))
    return row


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analyse(joined(tmp_path_factory.mktemp("analysis") / "d"))


def scores(batch_size: int, seed: int) -> list[float]:
    return [score_of({"arch_index": i, "batch_size": batch_size, "seed": seed}) for i in range(NUM)]


def test_coefficients_of_every_seed_and_of_the_mean(analysed: Analysis) -> None:
    of_seeds = [scores(8, seed) for seed in range(3)]
    for seed, values in [(0, of_seeds[0]), (2, of_seeds[2]), (None, np.mean(of_seeds, axis=0))]:
        expected = {
            "tau": stats.kendalltau(values, ACCURACIES).statistic,
            "spearman": stats.spearmanr(values, ACCURACIES).statistic,
            "pearson": stats.pearsonr(values, ACCURACIES).statistic,
        }
        for measure, value in expected.items():
            row = one(analysed, batch_size=8, seed=seed, measure=measure)
            assert row["value"] == pytest.approx(value)
            assert row["low"] < row["value"] < row["high"]
            assert (row["interval"], row["num_used"], row["num_seeds"]) == ("bootstrap", NUM, 1 if seed is not None else 3)


def test_partial_correlations_of_the_score(analysed: Analysis) -> None:
    x, z = np.mean([scores(4, seed) for seed in range(3)], axis=0), np.arange(NUM)
    xy, xz, yz = (stats.kendalltau(a, b).statistic for a, b in ((x, ACCURACIES), (x, z), (z, ACCURACIES)))
    row = one(analysed, measure="tau", given="params")
    assert row["value"] == pytest.approx((xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2)))
    assert row["low"] < row["value"] < row["high"]


def test_baselines_stand_beside_the_mean_alone(analysed: Analysis) -> None:
    expected = stats.kendalltau(range(NUM), ACCURACIES).statistic
    for name in ("params", "flops", "num_layers"):
        rows = find(analysed, predictor=name, measure="tau")
        assert [(row["batch_size"], row["seed"]) for row in rows] == [(4, None), (8, None)]
        assert [row["value"] for row in rows] == [pytest.approx(expected)] * 2


def test_the_top(analysed: Analysis) -> None:
    x = np.mean([scores(4, seed) for seed in range(3)], axis=0)
    best = np.argsort(-x)
    accuracies = np.array(ACCURACIES)
    assert one(analysed, measure="mean_accuracy", top_k=10)["value"] == pytest.approx(accuracies[best[:10]].mean())
    assert one(analysed, measure="best_accuracy", top_k=10)["value"] == accuracies[best[:10]].max()
    assert one(analysed, measure="recall", top_percent=10.0)["top_k"] == 2
    assert not find(analysed, measure="mean_accuracy", top_k=100), "there are 24"
    assert 0.5 < one(analysed, measure="ndcg", top_k=None)["value"] <= 1


def test_one_row_per_number(analysed: Analysis) -> None:
    keys = [tuple(row[name] for name in KEY) for row in analysed.rows.to_pylist()]
    assert len(set(keys)) == len(keys)


KEY = (
    *("space", "dataset", "split", "epochs", "images", "batch_size", "seed"),
    *("predictor", "measure", "given", "top_percent", "top_k"),
)


def test_stability(analysed: Analysis) -> None:
    pairs = analysed.stability.to_pylist()
    seeds = [(p["batch_size"], p["seed"], p["other_seed"]) for p in pairs if p["compared"] == "seed"]
    assert seeds == [(size, *pair) for size in (4, 8) for pair in ((0, 1), (0, 2), (1, 2))]
    assert pairs[0]["tau"] == pytest.approx(stats.kendalltau(scores(4, 0), scores(4, 1)).statistic)
    (sizes,) = (p for p in pairs if p["compared"] == "batch_size")
    means = [np.mean([scores(size, seed) for seed in range(3)], axis=0) for size in (4, 8)]
    assert (sizes["batch_size"], sizes["other_batch_size"], sizes["seed"]) == (4, 8, None)
    assert sizes["spearman"] == pytest.approx(stats.spearmanr(*means).statistic)


def test_singular_and_failed_rows(tmp_path: Path) -> None:
    analysis = analyse(joined(tmp_path / "d", {(3, 1): SINGULAR, (5, 0): FAILED, (6, 0): FAILED, (6, 1): FAILED}))
    counted = ("num_architectures", "num_used", "num_singular", "num_failed")
    assert tuple(one(analysis, measure="tau")[name] for name in counted) == (22, 22, 1, 2)
    assert tuple(one(analysis, measure="pearson")[name] for name in counted) == (22, 21, 1, 2)
    assert tuple(one(analysis, measure="tau", seed=1)[name] for name in counted) == (23, 23, 1, 1)
    assert tuple(one(analysis, measure="tau", seed=2)[name] for name in counted) == (24, 24, 0, 0)
    means = np.mean([scores(4, seed) for seed in range(3)], axis=0)
    means[3] = -1000
    kept = [i for i in range(NUM) if i not in (5, 6)]
    expected = stats.kendalltau(means[kept], np.array(ACCURACIES)[kept]).statistic
    assert one(analysis, measure="tau")["value"] == pytest.approx(expected)


def test_means_are_of_architectures_that_every_seed_has(tmp_path: Path) -> None:
    dataset = joined(tmp_path / "d", batch_sizes=(4,))
    rows = [score_row(i, seed=3, naswot=score_of({"arch_index": i, "batch_size": 4, "seed": 3})) for i in range(4)]
    write_part(dataset.storage, layout.scores(SPACE, "noise", 4, 3, 0), rows)
    join(dataset, SPACE)
    analysis = analyse(dataset)
    assert one(analysis, measure="tau")["num_architectures"] == 4
    assert one(analysis, measure="tau", seed=0)["num_architectures"] == NUM
    assert one(analysis, measure="tau", predictor="params")["num_architectures"] == 4
    assert "(of 4)" in render(analysis, "scores")


def test_image_sources_are_compared(tmp_path: Path) -> None:
    dataset = joined(tmp_path / "d", batch_sizes=(4,), seeds=(0,))
    rows = [score_row(i, images="cifar10", naswot=100.0 - i) for i in range(4)]
    write_part(dataset.storage, layout.scores(SPACE, "cifar10", 4, 0, 0), rows)
    join(dataset, SPACE)
    (pair,) = analyse(dataset).stability.to_pylist()
    assert (pair["compared"], pair["images"], pair["other_images"], pair["num_architectures"]) == (
        "images",
        "cifar10",
        "noise",
        4,
    )


def test_the_best_repeat_as_label(tmp_path: Path) -> None:
    dataset = joined(tmp_path / "d")
    by_mean, by_max = (one(analyse(dataset, repeats), measure="tau") for repeats in Repeats)
    assert by_max["value"] == pytest.approx(-by_mean["value"])
    assert (by_mean["label"], by_max["label"]) == ("mean over repeats", "max over repeats")


def test_a_table_without_the_best_repeat(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    add(dataset, [mean_accuracy(i, max_accuracy=None) for i in range(8)])
    join(dataset, SPACE)
    with pytest.raises(DatasetError, match="nasbench201 on cifar10 test after 200 epochs hold no maximum over repeats"):
        analyse(dataset, Repeats.MAX)


def test_without_joined_rows(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"d has no joined rows: run `naswot-ray join .*d` first"):
        analyse(make_dataset(tmp_path / "d"))


def test_where_nothing_is_defined(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", indices=range(2), change=lambda row: FAILED)
    add(dataset, [mean_accuracy(i) for i in range(2)])
    join(dataset, SPACE)
    analysis = analyse(dataset)
    assert {row["value"] for row in analysis.rows.to_pylist()} == {None}
    assert "| noise | 4 | 1 | 0 | 0 | 2 | - |" in render(analysis, "scores")


def test_the_document(analysed: Analysis) -> None:
    text = render(analysed, "some/scores")
    assert text.startswith("# Analysis of some/scores\n\nLabel: mean over repeats of accuracy in percent.")
    row = one(analysed, measure="tau")
    assert f"| noise | 4 | 3 | 24 | 0 | 0 | {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}] |" in text
    assert "0.574 (about 1,000 random networks, batch size 128; Mellor et al., ICML 2021 (arXiv 2006.04647))" in text
    assert "| nasbench201 | batch sizes 4 and 8, noise | 1 | 24 |" in text
    assert all(line.count(" | ") for line in text.splitlines() if line.startswith("| "))
    for table in text.split("\n\n"):
        if table.startswith("| "):
            assert len({line.replace(r"\|", "").count("|") for line in table.splitlines()}) == 1, table


def test_several_labels(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    for key, sign in (({"epochs": 200}, 1), ({"epochs": 12}, -1), ({"split": "valid"}, -1), ({"dataset": "cifar100"}, 1)):
        add(dataset, [mean_accuracy(i, accuracy=50.0 + sign * i, **key) for i in range(8)], source=f"{key}.csv")
    join(dataset, SPACE)
    analysis = analyse(dataset)
    taus = {(r["dataset"], r["split"], r["epochs"]): r["value"] for r in find(analysis, measure="tau", predictor="params")}
    assert taus == {
        ("cifar10", "test", 12): pytest.approx(-1),
        ("cifar10", "test", 200): pytest.approx(1),
        ("cifar10", "valid", 200): pytest.approx(-1),
        ("cifar100", "test", 200): pytest.approx(1),
    }
    text = render(analysis, "d")
    assert "cifar10 test after 200 epochs" in text
    assert "after 12 epochs" not in text
