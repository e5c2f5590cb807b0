"""The tables of an analysis, computed from hand-made rows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from naswot_ray.analysis.analyse import Analysis, Repeats, analyse
from naswot_ray.analysis.markdown import render
from naswot_ray.dataset import layout, schema
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from naswot_ray.errors import DatasetError
from tests.dataset.making import FAILED, SINGULAR, SPACE, Row, add, make_dataset, mean_accuracy, score_row, write_part

INF = math.inf
NUM = 24
ACCURACIES = [float(a) for a in np.random.default_rng(3).integers(50, 90, NUM)]


def score_of(row: Mapping[str, Any]) -> float:
    """A made-up score that follows the accuracy, plus noise that depends on the row's key."""
    noise = np.random.default_rng([row["arch_index"], row["batch_size"], row["seed"]]).normal(scale=10)
    accuracy: float = ACCURACIES[row["arch_index"]]
    return accuracy + float(noise)


def joined(root: Path, special: Mapping[tuple[int, int], Row] | None = None, **options: Any) -> Dataset:
    """A joined dataset of 24 architectures, batch sizes 4 and 8 and seeds 0 to 2. `change` maps (index, seed) to what is
    special there."""
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
        for metric, value in expected.items():
            row = one(analysed, batch_size=8, seed=seed, metric=metric)
            assert row["value"] == pytest.approx(value)
            assert row["low"] < row["value"] < row["high"]
            assert (row["interval"], row["num_used"], row["num_seeds"]) == ("bootstrap", NUM, 1 if seed is not None else 3)


def test_partial_correlations_of_the_score(analysed: Analysis) -> None:
    x, z = np.mean([scores(4, seed) for seed in range(3)], axis=0), np.arange(NUM)
    xy, xz, yz = (stats.kendalltau(a, b).statistic for a, b in ((x, ACCURACIES), (x, z), (z, ACCURACIES)))
    row = one(analysed, metric="tau", given="params")
    assert row["value"] == pytest.approx((xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2)))
    assert row["low"] < row["value"] < row["high"]


def test_baselines_stand_beside_the_mean_alone(analysed: Analysis) -> None:
    expected = stats.kendalltau(range(NUM), ACCURACIES).statistic
    for name in schema.BASELINES:
        rows = find(analysed, predictor=name, metric="tau")
        assert [(row["batch_size"], row["seed"]) for row in rows] == [(4, None), (8, None)]
        assert [row["value"] for row in rows] == [pytest.approx(expected)] * 2


def meco_of(row: Mapping[str, Any]) -> float:
    """A made-up second measure, with ties."""
    return float(row["arch_index"] * 7 % 5 + row["seed"])


def with_meco(root: Path, lacking: Collection[tuple[int, int]] = (), seeds: Collection[int] = (0, 1, 2)) -> Dataset:
    """As `joined`, with a second measure on some seeds; it is null at some (index, seed)."""

    def change(row: Row) -> Row:
        is_null = row["seed"] not in seeds or (row["arch_index"], row["seed"]) in lacking
        return {"naswot": score_of(row), "meco": None if is_null else meco_of(row)}

    dataset = make_dataset(root, indices=range(NUM), seeds=(0, 1, 2), change=change)
    add(dataset, [mean_accuracy(i, accuracy=a) for i, a in enumerate(ACCURACIES)])
    join(dataset, SPACE)
    return dataset


def test_measures_in_the_order_of_the_dataset_then_rank_sums_then_baselines(tmp_path: Path) -> None:
    analysis = analyse(with_meco(tmp_path / "d"))
    told = list(dict.fromkeys(row["predictor"] for row in analysis.rows.to_pylist()))
    assert told == ["naswot", "naswot_paper", "meco", "log_rank_sum", *schema.BASELINES]
    assert analysis.without == {SPACE: ["expressivity", "naswot_layerwise", "swap"]}
    text = render(analysis, "d")
    assert f"{SPACE}: no joined row has a value of expressivity, naswot_layerwise, swap." in text
    assert "`log_rank_sum` is a rank sum: the sum of the logarithms of the ranks of meco, naswot and num_relus" in text
    assert "Published tau of naswot: 0.574" in text
    assert "| nasbench201 | meco | seeds, noise, batch size 4 | 3 | 24 |" in text


def test_every_measure_has_its_own_architectures_and_seeds(tmp_path: Path) -> None:
    analysis = analyse(with_meco(tmp_path / "d", lacking=[(3, 0), (5, 1), (5, 0)], seeds=(0, 1)))
    naswot, meco = (one(analysis, predictor=name, metric="tau") for name in ("naswot", "meco"))
    counted = ("num_seeds", "num_architectures", "num_missing")
    assert tuple(naswot[name] for name in counted) == (3, NUM, 0)
    assert tuple(meco[name] for name in counted) == (2, NUM - 2, 2)
    kept = [i for i in range(NUM) if i not in (3, 5)]
    values = [meco_of({"arch_index": i, "seed": 0.5}) for i in kept]
    assert meco["value"] == pytest.approx(stats.kendalltau(values, np.array(ACCURACIES)[kept]).statistic)
    assert not find(analysis, predictor="meco", seed=2)
    assert one(analysis, predictor="params", metric="tau")["num_architectures"] == NUM


def test_partial_correlations_of_every_measure_are_over_its_own_architectures(tmp_path: Path) -> None:
    analysis = analyse(with_meco(tmp_path / "d", lacking=[(3, 0), (5, 1)]))
    kept = [i for i in range(NUM) if i not in (3, 5)]
    x, y, z = [i * 7 % 5 for i in kept], np.array(ACCURACIES)[kept], kept
    for metric, of in (("tau", stats.kendalltau), ("spearman", stats.spearmanr)):
        xy, xz, yz = (of(a, b).statistic for a, b in ((x, y), (x, z), (z, y)))
        row = one(analysis, predictor="meco", metric=metric, given="params")
        assert row["value"] == pytest.approx((xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2)))
    assert not find(analysis, predictor="num_relus", given="params")


def test_a_rank_sum_ranks_on_each_batch_and_is_averaged_over_seeds(tmp_path: Path) -> None:
    analysis = analyse(with_meco(tmp_path / "d", lacking=[(3, 0)]))
    kept = [i for i in range(NUM) if i != 3]
    of_seeds = []
    for seed in range(3):
        there = kept if seed == 0 else range(NUM)
        rows = [{"arch_index": i, "batch_size": 4, "seed": seed} for i in there]
        parts = ([meco_of(row) for row in rows], [score_of(row) for row in rows], list(there))  # num_relus equals the index
        summed = sum(np.log(stats.rankdata(part)) for part in parts)
        of_seeds.append(summed if seed == 0 else np.delete(summed, 3))
    accuracies = np.array(ACCURACIES)[kept]
    mean = one(analysis, predictor="log_rank_sum", metric="spearman")
    assert mean["value"] == pytest.approx(stats.spearmanr(np.mean(of_seeds, axis=0), accuracies).statistic)
    assert (mean["num_architectures"], mean["num_missing"]) == (NUM - 1, 1)
    first = one(analysis, predictor="log_rank_sum", metric="tau", seed=0)
    assert first["value"] == pytest.approx(stats.kendalltau(of_seeds[0], accuracies).statistic)


def test_published_figures_stand_beside_naswot_alone(tmp_path: Path) -> None:
    def change(row: Row) -> Row:
        return {"naswot": None, "naswot_paper": None, "meco": meco_of(row)}

    dataset = make_dataset(tmp_path / "d", change=change)
    add(dataset, [mean_accuracy(i) for i in range(8)])
    join(dataset, SPACE)
    text = render(analyse(dataset), "d")
    assert "Mellor" not in text
    assert "| nasbench201 | cifar10 | FLOPs | tau | 0.623 " in text


def test_the_top(analysed: Analysis) -> None:
    x = np.mean([scores(4, seed) for seed in range(3)], axis=0)
    best = np.argsort(-x)
    accuracies = np.array(ACCURACIES)
    assert one(analysed, metric="mean_accuracy", top_k=10)["value"] == pytest.approx(accuracies[best[:10]].mean())
    assert one(analysed, metric="best_accuracy", top_k=10)["value"] == accuracies[best[:10]].max()
    assert one(analysed, metric="recall", top_percent=10.0)["top_k"] == 2
    assert not find(analysed, metric="mean_accuracy", top_k=100), "there are 24"
    assert 0.5 < one(analysed, metric="ndcg", top_k=None)["value"] <= 1


def test_one_row_per_number(analysed: Analysis) -> None:
    keys = [tuple(row[name] for name in KEY) for row in analysed.rows.to_pylist()]
    assert len(set(keys)) == len(keys)


KEY = (
    *("space", "dataset", "split", "epochs", "images", "batch_size", "seed"),
    *("predictor", "metric", "given", "top_percent", "top_k"),
)


def test_stability(analysed: Analysis) -> None:
    pairs = [pair for pair in analysed.stability.to_pylist() if pair["predictor"] == "naswot"]
    seeds = [(p["batch_size"], p["seed"], p["other_seed"]) for p in pairs if p["compared"] == "seed"]
    assert seeds == [(size, *pair) for size in (4, 8) for pair in ((0, 1), (0, 2), (1, 2))]
    assert pairs[0]["tau"] == pytest.approx(stats.kendalltau(scores(4, 0), scores(4, 1)).statistic)
    (sizes,) = (p for p in pairs if p["compared"] == "batch_size")
    means = [np.mean([scores(size, seed) for seed in range(3)], axis=0) for size in (4, 8)]
    assert (sizes["batch_size"], sizes["other_batch_size"], sizes["seed"]) == (4, 8, None)
    assert sizes["spearman"] == pytest.approx(stats.spearmanr(*means).statistic)


def test_singular_and_failed_rows(tmp_path: Path) -> None:
    analysis = analyse(joined(tmp_path / "d", {(3, 1): SINGULAR, (5, 0): FAILED, (6, 0): FAILED, (6, 1): FAILED}))
    counted = ("num_architectures", "num_used", "num_singular", "num_missing")
    assert tuple(one(analysis, metric="tau")[name] for name in counted) == (22, 22, 1, 2)
    assert tuple(one(analysis, metric="pearson")[name] for name in counted) == (22, 21, 1, 2)
    assert tuple(one(analysis, metric="tau", seed=1)[name] for name in counted) == (23, 23, 1, 1)
    assert tuple(one(analysis, metric="tau", seed=2)[name] for name in counted) == (24, 24, 0, 0)
    means = np.mean([scores(4, seed) for seed in range(3)], axis=0)
    means[3] = -1000
    kept = [i for i in range(NUM) if i not in (5, 6)]
    expected = stats.kendalltau(means[kept], np.array(ACCURACIES)[kept]).statistic
    assert one(analysis, metric="tau")["value"] == pytest.approx(expected)


def test_means_are_of_architectures_that_every_seed_has(tmp_path: Path) -> None:
    dataset = joined(tmp_path / "d", batch_sizes=(4,))
    rows = [score_row(i, seed=3, naswot=score_of({"arch_index": i, "batch_size": 4, "seed": 3})) for i in range(4)]
    write_part(dataset.storage, layout.scores(SPACE, "noise", 4, 3, 0), rows)
    join(dataset, SPACE)
    analysis = analyse(dataset)
    assert one(analysis, metric="tau")["num_architectures"] == 4
    assert one(analysis, metric="tau", seed=0)["num_architectures"] == NUM
    assert one(analysis, metric="tau", predictor="params")["num_architectures"] == 4
    assert "(of 4)" in render(analysis, "scores")


def test_image_sources_are_compared(tmp_path: Path) -> None:
    dataset = joined(tmp_path / "d", batch_sizes=(4,), seeds=(0,))
    rows = [score_row(i, images="cifar10", naswot=100.0 - i) for i in range(4)]
    write_part(dataset.storage, layout.scores(SPACE, "cifar10", 4, 0, 0), rows)
    join(dataset, SPACE)
    (pair,) = (pair for pair in analyse(dataset).stability.to_pylist() if pair["predictor"] == "naswot")
    assert (pair["compared"], pair["images"], pair["other_images"], pair["num_architectures"]) == (
        "images",
        "cifar10",
        "noise",
        4,
    )


def test_the_best_repeat_as_label(tmp_path: Path) -> None:
    dataset = joined(tmp_path / "d")
    by_mean, by_max = (one(analyse(dataset, repeats), metric="tau") for repeats in Repeats)
    assert by_max["value"] == pytest.approx(-by_mean["value"])
    assert (by_mean["repeats"], by_max["repeats"]) == ("mean", "max")


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
    assert {row["predictor"] for row in analysis.rows.to_pylist()} == set(schema.BASELINES), "no measure has a value"
    text = render(analysis, "scores")
    assert "| params | - | - | - | - | - | 0 | 0 | 2 |" in text
    assert f"{SPACE}: no joined row has a value of naswot, naswot_paper, " in text


def test_the_document(analysed: Analysis) -> None:
    text = render(analysed, "some/scores")
    assert text.startswith("# Analysis of some/scores\n\nAccuracies are in percent, the mean over repeats.")
    row = one(analysed, metric="tau")
    assert f"| naswot | {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}] |" in text
    assert "0.574 (about 1,000 random networks, batch size 128; Mellor et al., ICML 2021 (arXiv 2006.04647))" in text
    assert "| nasbench201 | naswot | batch sizes 4 and 8, noise | 1 | 24 |" in text
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
    taus = {(r["dataset"], r["split"], r["epochs"]): r["value"] for r in find(analysis, metric="tau", predictor="params")}
    assert taus == {
        ("cifar10", "test", 12): pytest.approx(-1),
        ("cifar10", "test", 200): pytest.approx(1),
        ("cifar10", "valid", 200): pytest.approx(-1),
        ("cifar100", "test", 200): pytest.approx(1),
    }
    text = render(analysis, "d")
    assert "cifar10 test after 200 epochs" in text
    assert "after 12 epochs" not in text
