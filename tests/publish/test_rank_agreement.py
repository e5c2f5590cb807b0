"""Taus cover all rows, every measure and every baseline, and only naswot is compared with published figures."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from scipy import stats

from naswot_ray.analysis.correlation import Ranked
from naswot_ray.analysis.intervals import Resampled, percentile
from naswot_ray.errors import DatasetError
from naswot_ray.publish import rank_agreement
from naswot_ray.publish.publish import publish
from tests.dataset.making import SPACE, Row, add, make_dataset, mean_accuracy, write_sealed


def test_taus_are_those_of_the_published_rows(published: dict[str, Path]) -> None:
    found = json.loads((published["own"] / "quality.json").read_text())["tau"]
    assert [(t["batch_size"], t["measure"]) for t in found] == [
        *((4, "naswot"), (4, "naswot_paper")),
        *((8, "naswot"), (8, "naswot_paper"), (8, "meco")),
    ]
    joined = pq.read_table(published["all"] / "data" / SPACE / "joined-00000-of-00001.parquet").to_pylist()
    for agreement in found:
        name = agreement["measure"]
        rows = [row for row in joined if row["batch_size"] == agreement["batch_size"]]
        of_arch = {i: [row for row in rows if row["arch_index"] == i] for i in range(8)}
        used = {i: some for i, some in of_arch.items() if all(row[name] is not None for row in some)}
        assert agreement["num_architectures"] == len(used) == {"meco": 6}.get(name, 7)
        assert agreement["num_seeds"] == 2
        accuracies = [some[0]["accuracy"] for some in used.values()]
        means = [sum(row[name] for row in some) / 2 for some in used.values()]
        assert agreement["tau"]["value"] == pytest.approx(stats.kendalltau(means, accuracies).statistic)
        low, high = percentile(Resampled(Ranked(means)).kendall(Resampled(Ranked(accuracies))))
        assert (agreement["tau"]["low"], agreement["tau"]["high"]) == (low, high)
        for baseline in ("params", "flops", "num_relus", "num_layers"):
            values = [some[0][baseline] for some in used.values()]
            assert agreement["baselines"][baseline]["value"] == pytest.approx(stats.kendalltau(values, accuracies).statistic)


def test_a_measure_counts_over_the_seeds_at_which_it_was_taken(tmp_path: Path) -> None:
    """`meco` exists only at seed 1, so no architecture has it at every seed. Its tau is nevertheless that of seed 1."""

    def change(row: Row) -> Row:
        return {"meco": float(row["arch_index"])} if row["seed"] == 1 else {}

    dataset = make_dataset(tmp_path / "d", seeds=(0, 1), change=change)
    add(dataset, [mean_accuracy(i) for i in range(8)])
    found = {t.measure: t for t in publish(dataset, tmp_path / "out").quality.tau}
    assert (found["meco"].num_seeds, found["meco"].num_architectures, found["meco"].tau.value) == (1, 8, -1.0)
    assert found["naswot"].num_seeds == 2


def test_accuracies_need_not_have_been_joined(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    add(dataset, [mean_accuracy(i) for i in range(8)])
    (naswot, paper) = publish(dataset, tmp_path / "out").quality.tau
    assert (naswot.measure, paper.measure) == ("naswot", "naswot_paper")
    assert naswot.tau.value == -1.0


def test_a_baseline_that_is_unknown_for_an_architecture_has_no_tau(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    min((tmp_path / "d" / "architectures").glob("part-*.parquet")).unlink()
    add(dataset, [mean_accuracy(i) for i in range(8)])
    (naswot, _) = publish(dataset, tmp_path / "out").quality.tau
    assert naswot.num_architectures == 8
    assert {tau.value for tau in naswot.baselines.values()} == {None}


def test_without_accuracies_of_a_test_split_none_is_compared(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    assert publish(dataset, tmp_path / "none").quality.tau == []
    assert "The dataset holds no trained accuracies to compare with." in (tmp_path / "none" / "README.md").read_text()
    add(dataset, [mean_accuracy(i, split="valid") for i in range(8)])
    assert publish(dataset, tmp_path / "valid").quality.tau == []
    told = "None of the dataset's trained accuracies is of a test split and of an architecture with a value."
    assert told in (tmp_path / "valid" / "README.md").read_text()


def test_an_accuracy_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "d")
    rows = [mean_accuracy(i) for i in range(8)]
    add(dataset, rows)
    (path,) = (tmp_path / "d" / "accuracies").iterdir()
    table = pq.read_table(path)
    write_sealed(path.with_name(path.name.replace("table", "copy")), table)
    with pytest.raises(DatasetError, match="two accuracies on cifar10 test after 200 epochs"):
        publish(dataset, tmp_path / "out")


@pytest.mark.parametrize(
    ("real", "enough", "sign", "inside"),
    [(True, 8, 1, True), (True, 8, -1, False), (True, 9, 1, None), (False, 8, 1, None)],
)
def test_naswot_alone_stands_beside_what_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: bool, enough: int, sign: int, inside: bool | None
) -> None:
    """Accuracies of eight architectures whose tau with naswot is +-0.571; published are 0.571 and 0.574, for real images."""
    monkeypatch.setattr(rank_agreement, "REAL_IMAGES", ("noise",) if real else ("cifar10",))
    monkeypatch.setattr(rank_agreement, "ENOUGH_FOR_TAU", enough)
    dataset = make_dataset(tmp_path / "d", change=lambda row: {"meco": row["naswot"]})
    accuracies = [50.0 + sign * rank for rank in (2, 1, 0, 3, 4, 7, 6, 5)]
    assert stats.kendalltau(range(8), accuracies).statistic == pytest.approx(sign * 16 / 28)
    add(dataset, [mean_accuracy(i, accuracy=accuracy) for i, accuracy in enumerate(accuracies)])
    found = {t.measure: t for t in publish(dataset, tmp_path / "out").quality.tau}
    assert found["naswot"].inside is inside
    assert found["naswot"].published == (None if inside is None else (0.571, 0.574))
    assert found["meco"].tau == found["naswot"].tau
    for name in ("meco", "naswot_paper"):
        assert (found[name].published, found[name].inside) == (None, None)
    page = (tmp_path / "out" / "quality.md").read_text()
    verdict = {True: " 0.571-0.574 | yes |", False: " 0.571-0.574 | **no** |"}
    assert [told for told in verdict.values() if told in page] == ([] if inside is None else [verdict[inside]])
    card = (tmp_path / "out" / "README.md").read_text()
    assert ("Only figures published for `naswot` itself are shown" in card) is (inside is not None)
    told = "order architectures at least as well as the measure: 1 of 1 for `naswot`, 1 of 1 for `naswot_paper` and 1 of 1 for"
    assert told in card, "made-up parameters order them as naswot does"
