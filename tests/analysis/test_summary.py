"""The summary's numbers, computed from hand-made rows."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import kendalltau

from naswot_ray.analysis.summary import NUM_BEST, Group, summarise
from naswot_ray.dataset import layout, schema
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from naswot_ray.dataset.label import Label
from tests.dataset.making import FAILED, SINGULAR, SPACE, Row, add, arch_id, make_dataset, mean_accuracy, score_row, write_part

INF = float("inf")


def scored(root: Path, scores: Mapping[int, list[float | None]]) -> Dataset:
    """A dataset with the given scores: position -> one score per seed. None stands for failed, -inf for singular."""
    seeds = tuple(range(len(next(iter(scores.values())))))

    def change(row: Row) -> Row:
        score = scores[row["arch_index"]][row["seed"]]
        if score is None:
            return FAILED
        return SINGULAR if score == -INF else {"naswot": score}

    return make_dataset(root, indices=scores, seeds=seeds, change=change)


def with_accuracies(dataset: Dataset, accuracies: Mapping[int, float], **key: Any) -> Group:
    add(dataset, [mean_accuracy(i, accuracy=accuracy, **key) for i, accuracy in accuracies.items()])
    join(dataset, SPACE)
    (group,) = summarise(dataset)
    return group


def taus(group: Group) -> dict[str, float]:
    """Data set -> tau of `naswot`."""
    return {correlated.label.dataset: correlated.tau["naswot"] for correlated in group.correlated}


def joined(group: Group) -> dict[str, int]:
    """Data set -> number of architectures behind the tau of `naswot`."""
    return {correlated.label.dataset: correlated.num_architectures["naswot"] for correlated in group.correlated}


def test_an_empty_dataset(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d", indices=())
    assert summarise(dataset) == []


def test_counts(tmp_path: Path) -> None:
    dataset = scored(tmp_path / "d", {0: [1.0, 2.0], 1: [None, 2.0], 2: [-INF, -INF], 3: [None, None]})
    (group,) = summarise(dataset)
    assert (group.space, group.images, group.batch_size) == (SPACE, "noise", 4)
    assert (group.num_seeds, group.num_rows, group.num_singular, group.num_failed) == (2, 8, 2, 3)
    assert group.correlated == ()
    assert group.num_values == {"naswot": 5, "naswot_paper": 5}


def test_the_best_are_those_of_the_highest_mean_over_seeds(tmp_path: Path) -> None:
    dataset = scored(tmp_path / "d", {0: [10.0, 0.0], 1: [6.0, 6.0], 2: [-INF, 100.0], 3: [None, None], 4: [8.0, 0.0]})
    (group,) = summarise(dataset)
    assert group.best == ((arch_id(1), 6.0), (arch_id(0), 5.0), (arch_id(4), 4.0), (arch_id(2), -INF))


def test_ties_among_the_best_are_in_a_stable_order(tmp_path: Path) -> None:
    dataset = scored(tmp_path / "d", {i: [1.0] for i in range(8)})
    (group,) = summarise(dataset)
    assert list(group.best) == [(name, 1.0) for name in sorted(arch_id(i) for i in range(8))[:NUM_BEST]]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_sign_is_kept(tmp_path: Path, sign: int) -> None:
    dataset = scored(tmp_path / "d", {i: [float(i)] for i in range(5)})
    group = with_accuracies(dataset, {i: 50.0 + sign * i for i in range(5)})
    assert taus(group)["cifar10"] == pytest.approx(sign)
    assert joined(group) == {"cifar10": 5}


def test_tau_is_scipys_of_the_mean_scores_with_ties(tmp_path: Path) -> None:
    draw = random.Random(0)
    scores: dict[int, list[float | None]] = {i: [float(draw.randrange(6)), float(draw.randrange(6))] for i in range(16)}
    accuracies = {i: float(draw.randrange(80, 90)) for i in range(16)}
    group = with_accuracies(scored(tmp_path / "d", scores), accuracies)
    means = [sum(score or 0.0 for score in scores[i]) / 2 for i in range(16)]
    expected = kendalltau(means, list(accuracies.values()), variant="b").statistic
    assert len(set(means)) < 16, "there are ties"
    assert taus(group)["cifar10"] == pytest.approx(expected, abs=1e-12)
    assert abs(expected) < 0.9
    first_seed = kendalltau([scores[i][0] for i in range(16)], list(accuracies.values())).statistic
    assert taus(group)["cifar10"] != pytest.approx(first_seed)


def test_singular_architectures_rank_last_and_tie(tmp_path: Path) -> None:
    dataset = scored(tmp_path / "d", {0: [-INF], 1: [-5.0], 2: [3.0], 3: [-INF], 4: [7.0]})
    accuracies = {0: 10.0, 1: 60.0, 2: 50.0, 3: 90.0, 4: 80.0}
    group = with_accuracies(dataset, accuracies)
    expected = kendalltau([-1000, -5, 3, -1000, 7], list(accuracies.values())).statistic
    assert taus(group)["cifar10"] == pytest.approx(expected)
    assert joined(group) == {"cifar10": 5}


def test_an_architecture_singular_on_one_seed_ranks_last(tmp_path: Path) -> None:
    dataset = scored(tmp_path / "d", {0: [100.0, -INF], 1: [1.0, 1.0], 2: [2.0, 2.0]})
    group = with_accuracies(dataset, {0: 10.0, 1: 20.0, 2: 30.0})
    assert taus(group)["cifar10"] == pytest.approx(1.0)


def test_architectures_with_a_failed_row_are_left_out_and_counted(tmp_path: Path) -> None:
    dataset = scored(tmp_path / "d", {0: [1.0, 1.0], 1: [2.0, 2.0], 2: [9.0, None], 3: [None, None], 4: [3.0, 3.0]})
    group = with_accuracies(dataset, {0: 10.0, 1: 20.0, 2: 5.0, 3: 99.0, 4: 30.0})
    assert taus(group)["cifar10"] == pytest.approx(1.0)
    assert joined(group) == {"cifar10": 3}
    assert group.num_failed == 3


def test_architectures_without_an_accuracy_are_left_out(tmp_path: Path) -> None:
    dataset = scored(tmp_path / "d", {i: [float(i)] for i in range(5)})
    group = with_accuracies(dataset, {0: 10.0, 1: 20.0, 4: 5.0, 100: 99.0})
    assert joined(group) == {"cifar10": 3}
    assert taus(group)["cifar10"] == pytest.approx(kendalltau([0, 1, 4], [10, 20, 5]).statistic)


def test_only_the_test_split_at_the_most_epochs_counts(tmp_path: Path) -> None:
    dataset = scored(tmp_path / "d", {i: [float(i)] for i in range(4)})
    up, down = ([mean_accuracy(i, accuracy=50.0 + sign * i) for i in range(4)] for sign in (1, -1))
    add(
        dataset,
        [
            *up,
            *(row | {"epochs": 12} for row in down),
            *(row | {"split": "valid", "epochs": 1000} for row in down),
            *(row | {"split": "valtest"} for row in down),
            *(row | {"dataset": "cifar100", "epochs": 12} for row in down),
            *(row | {"dataset": "imagenet16-120", "split": "valid"} for row in down),
        ],
    )
    join(dataset, SPACE)
    (group,) = summarise(dataset)
    assert taus(group) == {
        "cifar10": pytest.approx(1.0),
        "cifar100": pytest.approx(-1.0),
    }


@pytest.mark.parametrize(
    ("scores", "accuracies"),
    [({0: 1.0}, {0: 50.0}), ({0: 1.0, 1: 1.0, 2: 1.0}, {0: 1.0, 1: 2.0, 2: 3.0}), ({0: 1.0, 1: 2.0}, {0: 5.0, 1: 5.0})],
    ids=["one architecture", "all scores the same", "all accuracies the same"],
)
def test_where_there_is_no_order_there_is_no_tau(
    tmp_path: Path, scores: dict[int, float], accuracies: dict[int, float]
) -> None:
    group = with_accuracies(scored(tmp_path / "d", {i: [score] for i, score in scores.items()}), accuracies)
    assert math.isnan(taus(group)["cifar10"])
    assert joined(group) == {"cifar10": len(scores)}


def test_groups_are_kept_apart_and_in_order(tmp_path: Path) -> None:
    dataset = make_dataset(
        tmp_path / "d",
        batch_sizes=(16, 4),
        seeds=(0, 1),
        change=lambda row: {"naswot": float(row["arch_index"] * (1 if row["batch_size"] == 4 else -1))},
    )
    rows = [score_row(i, images="cifar10") for i in range(4)]
    path = layout.scores(SPACE, "cifar10", 4, 0, 0)
    write_part(dataset.storage, path, rows)
    add(dataset, [mean_accuracy(i, accuracy=50.0 + i) for i in range(8)])
    join(dataset, SPACE)
    groups = summarise(dataset)
    assert [(g.images, g.batch_size, g.num_seeds, g.num_rows) for g in groups] == [
        ("cifar10", 4, 1, 4),
        ("noise", 4, 2, 16),
        ("noise", 16, 2, 16),
    ]
    assert [taus(g) for g in groups] == [
        {"cifar10": pytest.approx(1.0)},
        {"cifar10": pytest.approx(1.0)},
        {"cifar10": pytest.approx(-1.0)},
    ]
    assert groups[1].best[0] == (arch_id(7), 7.0)
    assert groups[2].best[0] == (arch_id(0), 0.0)


def test_accuracies_of_another_space_are_not_mixed_in(tmp_path: Path) -> None:
    dataset = scored(tmp_path / "d", {i: [float(i)] for i in range(3)})
    add(dataset, [mean_accuracy(i, accuracy=90.0 - i) for i in range(3)], space="other", source="other.csv", digest="e" * 64)
    group = with_accuracies(dataset, {i: 50.0 + i for i in range(3)})
    assert taus(group)["cifar10"] == pytest.approx(1.0)


def test_the_baselines_stand_beside_the_score(tmp_path: Path) -> None:
    """Made-up parameters, FLOPs and layers grow with the index, as the scores do, while accuracies fall."""
    dataset = make_dataset(tmp_path, indices=range(6))
    add(dataset, [mean_accuracy(i) for i in range(6)])
    join(dataset, SPACE)
    (group,) = summarise(dataset)
    (correlated,) = group.correlated
    assert correlated.tau == {name: pytest.approx(-1.0) for name in ("naswot", "naswot_paper", *schema.BASELINES)}


def test_every_measure_counts_its_own_rows_seeds_and_architectures(tmp_path: Path) -> None:
    """The second measure lacks all of seed 1, and one architecture on seed 0."""

    def change(row: Row) -> Row:
        return {} if row["seed"] or row["arch_index"] == 2 else {"meco": -float(row["arch_index"])}

    dataset = make_dataset(tmp_path / "d", indices=range(5), seeds=(0, 1), change=change)
    group = with_accuracies(dataset, {i: 50.0 + i for i in range(5)})
    assert group.num_values == {"naswot": 10, "naswot_paper": 10, "meco": 4}
    assert (group.measure, group.num_measure_seeds, group.num_complete) == ("naswot", 2, 5)
    (correlated,) = group.correlated
    assert correlated.label == Label("cifar10", "test", 200)
    assert list(correlated.tau) == ["naswot", "naswot_paper", "meco", *schema.BASELINES]
    assert correlated.tau["meco"] == pytest.approx(-1.0)
    assert correlated.num_seeds == {"naswot": 2, "naswot_paper": 2, "meco": 1}
    assert correlated.num_architectures == {"naswot": 5, "naswot_paper": 5, "meco": 4, **dict.fromkeys(schema.BASELINES, 5)}


def test_the_best_are_by_the_first_measure_with_values_where_there_is_no_naswot(tmp_path: Path) -> None:
    def change(row: Row) -> Row:
        return {"naswot": None, "naswot_paper": None, "swap": 10.0 - row["arch_index"]}

    (group,) = summarise(make_dataset(tmp_path / "d", change=change))
    assert (group.measure, group.best[0]) == ("swap", (arch_id(0), 10.0))


def test_nothing_is_best_where_no_measure_has_a_value(tmp_path: Path) -> None:
    (group,) = summarise(make_dataset(tmp_path / "d", change=lambda row: FAILED))
    assert (group.measure, group.best, group.num_complete, group.num_values) == (None, (), 0, {})
