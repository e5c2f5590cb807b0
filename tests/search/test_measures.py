"""A dataset is searched by any measure that it has, by a rank sum, or by a baseline."""

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
from naswot_ray.engines.score import score
from naswot_ray.errors import SettingsError
from naswot_ray.images.source import load_images
from naswot_ray.search import results, simulation
from naswot_ray.search.criterion import Criterion
from naswot_ray.search.live_scores import LiveProblem
from naswot_ray.search.problem import Budget
from naswot_ray.spaces import get_space
from tests.cli.running import naswot, refuses
from tests.dataset.making import FAILED, SPACE, Row, add, arch_id, make_dataset, mean_accuracy

NUM = 10
MECO, PARAMS = Criterion("meco", ("meco",)), Criterion("params", ("params",))
RANKS = Criterion("log_rank_sum", ("meco", "naswot", "num_relus"))


def values(row: Row) -> Row:
    """`meco` falls with the index, as accuracy does, while `naswot` rises. 2 has none, 5 failed in part and 7 as a whole."""
    index = row["arch_index"]
    special: dict[int, Row] = {
        2: {"meco": None},
        5: {"meco": None, "error": "toy: x\nmeco: ValueError: no"},
        7: FAILED | {"meco": None},
    }
    return {"meco": 50.0 - index, "seconds": 2.0} | special.get(index, {})


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    made = make_dataset(tmp_path / "d", indices=range(NUM), seeds=(0, 1), change=values)
    add(made, [mean_accuracy(i) for i in range(NUM)])
    return made


def test_a_search_by_another_measure(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = naswot("search", tmp_path / "d", "--measure", "meco", "--samples", NUM, "--runs", 3, "-o", out)
    assert done.exit_code == 0, done.output
    assert "Scores: meco, noise images, batch size 4, seeds 0 and 1 in turn." in done.output
    assert "Searched: 9 of 15,625 architectures" in done.output, "one has no value of meco"
    assert "Of these, 2 failed at some seed and rank last there." in done.output
    assert "| sample by meco, 9 scored (all there are; 10 asked for) | 3 | 90.00 ± 0.00 |  | 9 | 0 | 18.0 |" in done.output
    table = pq.read_table(out / "search.parquet")
    assert set(table["measure"].to_pylist()) == {"meco"}
    assert table["arch_id"].to_pylist()[-1] == arch_id(0)
    assert json.loads(table.schema.metadata[results.METADATA_KEY])["measure"] == {"name": "meco", "parts": ["meco"]}
    drawn = (out / "search.svg").read_text()
    assert "scores: meco, noise images" in drawn
    assert "sample by meco, 9 scored" in drawn


def test_a_search_by_a_rank_sum(dataset: Dataset, tmp_path: Path) -> None:
    done = naswot("search", tmp_path / "d", "--measure", "log_rank_sum", "--samples", 3, "--runs", 5)
    assert done.exit_code == 0, done.output
    told = "log_rank_sum (of meco, naswot and num_relus, among the architectures that a run has scored)"
    assert f"Scores: {told}, noise images" in done.output
    assert "| sample by log_rank_sum, 3 scored | 5 |" in done.output


def test_a_search_by_a_baseline(dataset: Dataset, tmp_path: Path) -> None:
    done = naswot("search", tmp_path / "d", "--measure", "params", "--samples", NUM, "--runs", 2)
    # Parameters rise with the index. They cost no time, and every architecture has them.
    assert "| sample by params, 10 scored | 2 | 81.00 ± 0.00 |  | 10 | 0 | 0.0 |" in done.output


def test_a_random_search_scores_nothing(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--algorithm", "random", "--select", "cifar10/test/200", "--trainings", 4, "--runs", 1, "-o", out)
    done = naswot("search", tmp_path / "d", *options)
    assert "| random, 4 trained | 1 |" in done.output
    assert pq.read_table(out / "search.parquet")["measure"].null_count > 0


def test_what_a_lookup_holds(dataset: Dataset) -> None:
    space = get_space(SPACE)
    lookup = simulation.read(dataset, space, RANKS, "noise", 4)
    assert lookup.indices.tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert lookup.parts.shape == (2, 9, 3)
    assert lookup.parts[1, 1].tolist() == [49.0, 101.0, 1.0]
    assert np.isnan(lookup.parts[0]).any(axis=1).tolist() == [False] * 4 + [True, False, True, False, False]
    assert lookup.num_failed == 2
    of_baseline = simulation.read(dataset, space, PARAMS, "noise", 4)
    assert of_baseline.parts[0, :, 0].tolist() == [10.0 * i for i in range(NUM)]
    assert set(of_baseline.score_seconds.flat) == {0.0}


def test_a_seed_without_the_measure_is_left_out(tmp_path: Path) -> None:
    made = make_dataset(tmp_path / "d", seeds=(0, 1, 2), change=lambda row: {"meco": None if row["seed"] == 1 else 1.0})
    add(made, [mean_accuracy(i) for i in range(8)])
    assert simulation.read(made, get_space(SPACE), MECO, "noise", 4).seeds == (0, 2)
    assert simulation.read(made, get_space(SPACE), PARAMS, "noise", 4).seeds == (0, 1, 2)


def test_the_scores_of_the_measure_are_searched(tmp_path: Path) -> None:
    """It is the largest batch size that has the measure, not the largest of all."""
    made = make_dataset(
        tmp_path / "d", batch_sizes=(4, 8), change=lambda row: {"meco": 1.0 if row["batch_size"] == 4 else None}
    )
    add(made, [mean_accuracy(i) for i in range(8)])
    space = get_space(SPACE)
    assert simulation.choose_scores(made, space, MECO) == ("noise", 4)
    assert simulation.choose_scores(made, space, PARAMS) == ("noise", 8)
    with pytest.raises(SettingsError, match="has values of meco at batch sizes 4, not 8"):
        simulation.choose_scores(made, space, MECO, batch_size=8)


def test_which_measure_is_the_default(tmp_path: Path, dataset: Dataset) -> None:
    space = get_space(SPACE)
    assert simulation.choose_criterion(dataset, space).name == "naswot"
    gone = {"naswot": None, "naswot_paper": None, "swap": 5.0}
    without = make_dataset(tmp_path / "without", change=lambda row: {**gone, "meco": 1.0})
    assert simulation.choose_criterion(without, space).name == "meco", "the first in the order of columns"


def test_refusals(dataset: Dataset, tmp_path: Path) -> None:
    root = tmp_path / "d"
    message = refuses(root, "search", root, "--measure", "mecco")
    assert "unknown measure 'mecco'; there are: naswot, naswot_paper, expressivity, meco, " in message
    assert "meco_expressivity_rank_sum, params" in message
    assert message.endswith("did you mean meco?")
    message = refuses(root, "search", root, "--measure", "swap")
    assert f"{root} has no value of swap for nasbench201, only of naswot, naswot_paper, meco" in message
    assert "`naswot-ray score` with --measure swap adds it" in message
    live = ("search", "--live", "--space", SPACE, "--samples", 1)
    assert "did you mean meco?" in refuses(root, *live, "--measure", "mecco")


PUBLISHED: dict[str, Any] = {"num_runs": 500, "accuracy": 93.0, "deviation": 1.0, "num_scored": 1000, "num_trained": 0}


def test_published_figures_are_of_naswot_alone() -> None:
    setting = results.Setting(
        space=SPACE,
        space_size=15_625,
        num_known=15_625,
        num_failed=0,
        measure=MECO,
        images="cifar10",
        batch_size=128,
        score_seeds=(0,),
        reported=Label("cifar10", "test", 200),
        selected=None,
        times_known=True,
        num_runs=500,
        seed=0,
    )
    of_meco = results.Result(
        results.Contestant("sample", "meco", Budget(scores=1000)), seconds=1.0, exhausted=False, **PUBLISHED
    )
    text = results.markdown([of_meco], setting)
    assert "| sample by meco, 1,000 scored | 500 | 93.00 ± 1.00 |  |" in text
    assert "compare" not in text, "there is no figure that one could take for this one's"
    of_naswot = replace(of_meco, contestant=replace(of_meco.contestant, measure="naswot"))
    assert "| sample by naswot, 1,000 scored | 500 | 93.00 ± 1.00 | 92.96 |" in results.markdown([of_naswot], setting)


@pytest.mark.parametrize("criterion", [MECO, PARAMS, RANKS], ids=lambda criterion: criterion.name)
def test_a_live_problem_gives_the_parts(criterion: Criterion) -> None:
    space, images = get_space(SPACE), load_images("noise").batch(4, 3)
    parts, seconds = LiveProblem(space, criterion, images, 3).score(11)
    scores = score(space[11], images, seed=3, measures=["meco", "naswot"], engine="exact")
    trained = space.trained_network(space[11])
    known = {"params": trained.params, "num_relus": trained.num_relus, **scores}
    assert parts == pytest.approx([known[part] for part in criterion.parts], abs=1e-3)
    assert seconds > 0


def test_a_live_search_by_a_rank_sum(tmp_path: Path) -> None:
    options = ("--live", "--space", SPACE, "--samples", 3, "--batch-size", 4, "--measure", "log_rank_sum")
    done = naswot("search", *options)
    assert done.exit_code == 0, done.output
    assert "| sample by log_rank_sum, 3 scored | 1 |" in done.output
    assert "computed as the search goes on" in done.output
    assert not math.isnan(float(done.output.split("| 3 | 0 | ")[1].split(" |")[0]))


def test_a_live_search_takes_any_accuracies_of_a_dataset(tmp_path: Path) -> None:
    """The search needs no scores of the dataset, so several image sources and batch sizes are not ambiguous."""
    made = make_dataset(tmp_path / "d", batch_sizes=(4, 8))
    add(made, [mean_accuracy(i) for i in range(8)])
    message = refuses(tmp_path / "d", "search", tmp_path / "d", "--live", "--samples", 2, "--measure", "meco")
    assert "the accuracies of 8 of the 15,625 architectures of nasbench201 are known" in message
