"""The command searches a dataset, and says what is missing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.label import Label
from naswot_ray.search import results
from naswot_ray.search.algorithms import run
from naswot_ray.search.criterion import Criterion
from naswot_ray.search.problem import Budget
from naswot_ray.search.simulation import Lookup, SimulatedProblem, read
from naswot_ray.spaces import get_space
from tests.cli.running import naswot, refuses
from tests.data import find_table
from tests.dataset.making import FAILED, SINGULAR, SPACE, add, make_dataset, mean_accuracy

NUM = 12
NASWOT = Criterion("naswot", ("naswot",))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Twelve architectures. The last ones have the highest scores and the lowest accuracies; one is singular, one failed."""
    special = {3: SINGULAR, 4: FAILED}
    made = make_dataset(tmp_path / "d", indices=range(NUM), seeds=(0, 1), change=lambda row: special.get(row["arch_index"], {}))
    valid = {"dataset": "cifar10-valid", "split": "valid", "epochs": 12}
    add(made, [mean_accuracy(i, **keys) for i in range(NUM) for keys in ({}, valid)])
    return made


def test_a_dataset_is_searched(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("search", tmp_path / "d", "--algorithm", "sample", "--algorithm", "random", "--runs", 4, "-o", out)
    done = naswot(*command, "--samples", NUM, "--select", "cifar10-valid/valid/12", "--trainings", NUM)
    assert done.exit_code == 0, done.output
    assert "| sample by naswot, 12 scored | 4 | 79.00 ± 0.00 |  | 12 | 0 |" in done.output  # the last one has the highest score
    assert "| random, 12 trained | 4 | 90.00 ± 0.00 |" in done.output
    table = pq.read_table(out / "search.parquet")
    assert table.schema == results.SCHEMA
    ends = {(row["algorithm"], row["run"]): row for row in table.to_pylist()}
    assert len(ends) == 8
    assert ends["sample", 3]["arch_id"] == get_space(SPACE)[NUM - 1]
    assert {(r["num_scored"], r["max_scored"], r["num_trained"]) for k, r in ends.items() if k[0] == "sample"} == {(12, 12, 0)}
    assert (out / "search.md").read_text() in done.output
    assert (out / "search.png").stat().st_size > 10_000
    assert "<svg" in (out / "search.svg").read_text()[:1000]


def test_the_same_command_writes_the_same(dataset: Dataset, tmp_path: Path) -> None:
    for name in ("a", "b"):
        naswot("search", tmp_path / "d", "--runs", 3, "--samples", 5, "-o", tmp_path / name)
    for file in ("search.parquet", "search.md", "search.svg"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_lookup(dataset: Dataset) -> None:
    key = Label("cifar10", "test", 200)
    lookup = read(dataset, get_space(SPACE), NASWOT, "noise", 4, selected=key)
    assert lookup.seeds == (0, 1)
    assert lookup.parts.shape == (2, NUM, 1)
    assert lookup.num_failed == 1
    assert lookup.selected is not None
    assert lookup.selected.tolist() == lookup.reported.tolist() == [90.0 - i for i in range(NUM)]
    problem = SimulatedProblem(lookup, 1)
    assert problem.score(3)[0] == (-math.inf,)
    assert math.isnan(problem.score(4)[0][0])
    assert problem.score(5)[0] == (105.0,)
    assert problem.arch_id(5) == get_space(SPACE)[5]


def test_live(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = naswot("search", "--live", "--space", SPACE, "--samples", 3, "--batch-size", 4, "-o", out)
    assert done.exit_code == 0, done.output
    assert "| sample by naswot, 3 scored | 1 |  |  | 3 | 0 |" in done.output
    last = pq.read_table(out / "search.parquet").to_pylist()[-1]
    assert f"sample by naswot, 3 scored: {last['arch_id']}" in done.output
    assert last["accuracy"] is None
    assert last["seconds"] > 0


def test_refusals(dataset: Dataset, tmp_path: Path) -> None:
    root = tmp_path / "d"
    assert "name a dataset to search, or give --live" in refuses(root, "search")
    assert "'cifar10': expected DATASET/SPLIT/EPOCHS" in refuses(root, "search", root, "--report", "cifar10")
    message = refuses(root, "search", root, "--report", "cifar10/test/12")
    assert "has no accuracies cifar10/test/12 of nasbench201; it has cifar10-valid/valid/12, cifar10/test/200" in message
    assert "has values of naswot at batch sizes 4, not 8" in refuses(root, "search", root, "--batch-size", 8)
    assert "has values of naswot for nasbench201 on noise: say --images" in refuses(root, "search", root, "--images", "cifar10")
    rea = ("search", root, "--algorithm", "rea")
    assert "rea trains: give the accuracy that it chooses by with --select, and --trainings or --seconds" in refuses(root, *rea)
    whole = refuses(root, *rea, "--select", "cifar10-valid/valid/12", "--trainings", 20)
    assert "12 of the 15,625 architectures of nasbench201 have a score and an accuracy" in whole
    assert "has no scores of nats_sss" in refuses(root, "search", root, "--space", "nats_sss")
    unknown = refuses(root, *rea, "--select", "cifar10-valid/valid/12", "--seconds", 100)
    assert "the training times of cifar10-valid/valid/12 are not known" in unknown
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    assert "exists and is not empty" in refuses(root, "search", root, "-o", tmp_path / "full")
    live = ("search", "--live", "--space", SPACE, "--algorithm", "random", "--select", "a/b/1", "--trainings", 1)
    assert "nothing can be trained without a dataset" in refuses(root, *live)


def test_naswot_finds_what_was_published() -> None:
    """With another codebase's scores, a sample of 100 ends within the published mean +- one standard deviation."""
    accuracies = pq.read_table(find_table("nasbench201.parquet")).sort_by("arch_index")
    scores = pq.read_table(find_table("nasbench201_published_naswot.parquet")).sort_by("arch_index")
    found = scores["naswot_freerea_cifar10"].to_numpy()[None, :, None]
    for name, dataset in (("cifar10", "cifar10"), ("cifar100", "cifar100"), ("imagenet16", "imagenet16-120")):
        reported = accuracies[f"{name}_test_acc_200"].to_numpy()
        n = len(reported)
        lookup = Lookup(get_space(SPACE), NASWOT, np.arange(n), (0,), found, np.ones((1, n)), None, None, reported)
        problem = SimulatedProblem(lookup, 0)
        chosen = [run("sample", problem, Budget(scores=100), seed=0, number=i).steps[-1].choice for i in range(100)]
        mean, deviation = results.PUBLISHED[SPACE, dataset, "sample", 100]
        assert deviation is not None
        assert abs(float(np.mean(reported[chosen])) - mean) <= deviation


def result(name: str, budget: Budget, *, num_scored: int = 0, exhausted: bool = False, num_runs: int = 500) -> results.Result:
    return results.Result(
        results.Contestant(name, None if name in ("random", "rea") else "naswot", budget),
        num_runs,
        93.0,
        1.0,
        num_scored,
        0,
        1.0,
        exhausted,
    )


WHOLE = results.Setting(
    space=SPACE,
    space_size=15_625,
    num_known=15_625,
    num_failed=0,
    measure=NASWOT,
    images="cifar10",
    batch_size=128,
    score_seeds=(0, 1, 2),
    reported=Label("cifar10", "test", 200),
    selected=Label("cifar10-valid", "valid", 12),
    times_known=True,
    num_runs=500,
    seed=0,
)
"""The settings to which the published figures apply."""

THOUSAND = result("sample", Budget(scores=1000), num_scored=1000)
REA = result("rea", Budget(seconds=12_000))


def test_published_figures_stand_beside_what_compares() -> None:
    text = results.markdown([THOUSAND, REA, result("random", Budget(trainings=1))], WHOLE)
    assert text.startswith(
        "nasbench201: cifar10 test accuracy after 200 epochs, mean ± standard deviation over 500 runs (random seed 0); scored, "
        "trained and seconds are means. Scores: naswot, cifar10 images, batch size 128, seeds 0, 1 and 2 in turn. Searched: "
        "all 15,625 architectures of the space. Trainings choose by cifar10-valid/valid/12.\n"
    )
    assert "| published, 500 runs |" in text
    assert "| sample by naswot, 1,000 scored | 500 | 93.00 ± 1.00 | 92.96 | 1,000 | 0 | 1.0 |" in text
    assert "| rea, 12,000 s | 500 | 93.00 ± 1.00 | 93.92 (12,000 s) |" in text
    assert "| random, 1 trained | 500 | 93.00 ± 1.00 | 86.61 |" in text
    assert "do not compare" not in text


@pytest.mark.parametrize(
    ("found", "changes", "reason"),
    [
        (THOUSAND, {"num_known": 120}, "the whole space, of which 120 of 15,625 architectures (0.77%) are known here"),
        (THOUSAND, {"num_known": 15_624}, "15,624 of 15,625 architectures (99.99%) are known here"),
        (THOUSAND, {"images": "noise"}, "their scores are of real images at batch size 128"),
        (THOUSAND, {"batch_size": 64}, "their scores are of real images at batch size 128"),
        (THOUSAND, {"reported": Label("cifar10", "test", 12)}, "they are test accuracies after 200 epochs"),
        (THOUSAND, {"reported": Label("cifar10", "valid", 200)}, "they are test accuracies after 200 epochs"),
        (result("sample", Budget(scores=1000), num_scored=120, exhausted=True), {}, "the budget was not spent"),
        (REA, {"selected": Label("cifar10", "valid", 200)}, "their trainings choose by cifar10-valid/valid/12"),
        (result("rea", Budget(trainings=100)), {}, "their budget was 12,000 simulated seconds"),
        (result("rea", Budget(seconds=1000)), {}, "their budget was 12,000 simulated seconds"),
    ],
)
def test_published_figures_of_something_else_are_left_out_and_it_is_said_why(
    found: results.Result, changes: dict[str, Any], reason: str
) -> None:
    text = results.markdown([found], replace(WHOLE, **changes))
    assert f"| {found.label} | 500 | 93.00 ± 1.00 |  |" in text
    assert f"\nPublished figures do not compare with {found.label}: " in text
    assert reason in text


def test_trainings_of_unknown_length_have_no_seconds() -> None:
    trained = replace(result("random", Budget(trainings=100)), num_trained=100)
    text = results.markdown([trained], replace(WHOLE, times_known=False))
    assert "| random, 100 trained | 500 | 93.00 ± 1.00 |  | 0 | 100 |  |" in text
    assert "how long they took is not known" in text


def test_one_run_has_no_deviation() -> None:
    text = results.markdown([result("sample", Budget(scores=5), num_runs=1)], replace(WHOLE, num_runs=1))
    assert "| sample by naswot, 5 scored | 1 | 93.00 |" in text
    assert "one run (random seed 0)" in text


def test_a_search_tells_how_many_were_really_scored(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("search", tmp_path / "d", "--algorithm", "sample", "--algorithm", "random", "--runs", 3, "-o", out)
    done = naswot(*command, "--samples", 1000, "--samples", NUM, "--select", "cifar10-valid/valid/12", "--trainings", 99)
    assert (
        f"| sample by naswot, {NUM} scored (all there are; 1,000 asked for) | 3 | 79.00 ± 0.00 |  | {NUM} | 0 |" in done.output
    )
    assert f"| sample by naswot, {NUM} scored | 3 |" in done.output, "that was all of the budget"
    assert f"| random, {NUM} trained (all there are; 99 asked for) | 3 |" in done.output
    assert (
        "Scores: naswot, noise images, batch size 4, seeds 0 and 1 in turn. Searched: 12 of 15,625 architectures (0.08%)"
        in done.output
    )
    assert (
        f"do not compare with sample by naswot, {NUM} scored (all there are; 1,000 asked for): they are of the whole space, of "
        "which 12 of 15,625 architectures (0.08%) are known here; the budget was not spent; " in done.output
    )
    drawn = (out / "search.svg").read_text()
    for text in (
        "nasbench201, 3 runs",
        "12 of 15,625 architectures (0.08%); scores: naswot, noise images, batch size 4, seeds 0 and 1 in turn",
        "cifar10 test accuracy",
        "after 200 epochs, of the choice, %",
        f"random, {NUM} trained (all there are; 99 asked for)",
        "architectures scored or trained in a run",
    ):
        assert text in drawn, text
    setting = json.loads(pq.read_schema(out / "search.parquet").metadata[results.METADATA_KEY])
    assert (setting["space"], setting["images"], setting["batch_size"], setting["score_seeds"]) == (SPACE, "noise", 4, [0, 1])
    assert (setting["num_known"], setting["space_size"], setting["num_runs"]) == (NUM, 15_625, 3)
    assert setting["reported"] == {"dataset": "cifar10", "split": "test", "epochs": 200}


def test_the_reported_accuracy_is_named_as_what_it_is(dataset: Dataset, tmp_path: Path) -> None:
    done = naswot("search", tmp_path / "d", "--runs", 2, "--samples", 3, "--report", "cifar10-valid/valid/12")
    assert done.output.startswith("nasbench201: cifar10-valid valid accuracy after 12 epochs, mean ±")


def test_a_live_search_tells_what_it_scores(tmp_path: Path) -> None:
    done = naswot("search", "--live", "--space", SPACE, "--samples", 2, "--batch-size", 4)
    assert done.output.startswith(
        "nasbench201: accuracy not known, one run (random seed 0). Scores: naswot, noise images, batch size 4, run i with seed "
        "i, computed as the search goes on. Searched: all 15,625 architectures of the space.\n"
    )


def test_accuracies_that_are_not_there_are_not_called_those_after_0_epochs(tmp_path: Path) -> None:
    made = make_dataset(tmp_path / "d")
    add(made, [mean_accuracy(0, dataset="cifar100")])
    message = refuses(tmp_path / "d", "search", tmp_path / "d")
    assert "has no cifar10 test accuracies of nasbench201; it has cifar100/test/200: say which with --report" in message
