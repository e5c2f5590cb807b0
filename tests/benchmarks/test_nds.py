"""NDS' own files give accuracies."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from naswot_ray.benchmarks.formats import read_accuracies
from naswot_ray.benchmarks.nds import read_nds
from naswot_ray.dataset import schema
from naswot_ray.dataset.accuracies import batches_of, stage
from naswot_ray.errors import BenchmarkError, SettingsError
from naswot_ray.spaces.nds_families import FAMILIES
from naswot_ray.spaces.nds_file import read_records
from tests.spaces.nds_files import ANYNET, CELL_NET, nds_record, write_nds_json, write_nds_zip

RECORDS = [
    nds_record(CELL_NET, seed=3, params=100, flops=2_000_000_000_000),
    nds_record({**CELL_NET, "width": 20}, errors=[90.0, 5.25], base_lr=0.013),
]


def rows_of(path: Path, family: str = "DARTS") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_nds(path, family).read_all().to_pylist()
    return rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_nds_zip(tmp_path / "data.zip", {"DARTS": RECORDS, "DARTS_lr-wd_in": RECORDS})


def test_each_training_and_its_mean(path: Path) -> None:
    first, first_mean, second, second_mean = rows_of(path)
    ids = [record.arch_id for record in read_records(path, "DARTS")]
    assert [first["arch_id"], second["arch_id"]] == ids
    assert (first["accuracy"], first["epochs"], first["seed"], first["max_accuracy"], first["num_repeats"]) == (
        92.55,
        3,
        3,
        None,
        None,
    )
    assert (second["accuracy"], second["epochs"], second["seed"]) == (94.75, 2, 1)
    for row, mean in ((first, first_mean), (second, second_mean)):
        assert mean == {**row, "seed": None, "max_accuracy": row["accuracy"], "num_repeats": 1}
    assert (first["dataset"], first["split"]) == ("cifar10", "test")
    assert (first["params"], first["flops"], first["training_seconds"]) == (100, 2_000_000_000_000, None)
    assert json.loads(second["optimiser"]) == RECORDS[1]["optim"]
    assert second["optimiser"].startswith('{"base_lr":0.013,"lr_policy":"cos",')


def test_the_table_has_the_schema_and_says_where_it_comes_from(path: Path) -> None:
    accuracies = read_nds(path, "DARTS")
    assert (accuracies.space, accuracies.source) == ("nds_darts", "data.zip")
    assert accuracies.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    table = accuracies.read_all()
    assert table.schema.equals(schema.ACCURACIES)
    assert set(table["source_digest"].to_pylist()) == {accuracies.digest}
    assert set(table["space"].to_pylist()) == {"nds_darts"}


def test_families_in_imagenet(path: Path) -> None:
    assert {row["dataset"] for row in rows_of(path, "DARTS_lr-wd_in")} == {"imagenet"}
    assert sum(family.trained_on == "imagenet" for family in FAMILIES.values()) == 10


def test_reruns_are_architectures_of_their_own(tmp_path: Path) -> None:
    reruns = {"top": [nds_record(ANYNET, seed=1)], "mid": [nds_record(ANYNET, seed=2, errors=[8.0])]}
    rows = rows_of(write_nds_json(tmp_path, "ResNet_reruns", reruns), "ResNet_reruns")
    assert [(row["arch_id"][:6], row["seed"], row["accuracy"]) for row in rows if row["seed"] is not None] == [
        ("00000-", 1, 92.55),
        ("00001-", 2, 92.0),
    ]


@pytest.mark.parametrize(("error", "accuracy"), [(0, 100.0), (100, 0.0), (90.0, 10.0)])
def test_errors_become_accuracies(tmp_path: Path, error: float, accuracy: float) -> None:
    """A network whose training diverged guesses, or is wrong about every image. That still is its accuracy."""
    rows = rows_of(write_nds_json(tmp_path, "DARTS", [nds_record(CELL_NET, errors=[50.0, error])]))
    assert [row["accuracy"] for row in rows] == [accuracy, accuracy]


@pytest.mark.parametrize("errors", [[], [50.0, None], [50.0, math.nan]], ids=["no epoch", "null", "nan"])
def test_a_training_without_a_final_error_has_no_accuracy(tmp_path: Path, errors: list[float | None]) -> None:
    path = write_nds_json(tmp_path, "DARTS", [RECORDS[0], nds_record(CELL_NET, errors=errors), RECORDS[1]])
    ids = [record.arch_id for record in read_records(path, "DARTS")]
    assert [row["arch_id"] for row in rows_of(path)] == [ids[0], ids[0], ids[2], ids[2]]


def test_a_file_without_any_final_error_gives_no_row_and_is_refused(tmp_path: Path) -> None:
    path = write_nds_json(tmp_path, "DARTS", [nds_record(CELL_NET, errors=[math.nan])])
    with pytest.raises(
        BenchmarkError, match=r"^DARTS\.json gives no row: it has no accuracy of any architecture of nds_darts$"
    ):
        stage(read_nds(path, "DARTS"))


def test_a_training_that_broke_off_counts_with_the_epochs_it_had(tmp_path: Path) -> None:
    record = nds_record(CELL_NET, errors=[50.0, 40.0])
    record["optim"]["max_ep"] = 100
    assert {row["epochs"] for row in rows_of(write_nds_json(tmp_path, "DARTS", [record]))} == {2}


def test_costs_that_the_file_does_not_tell(tmp_path: Path) -> None:
    record = nds_record(CELL_NET)
    del record["params"]
    record["flops"] = None
    assert {(row["params"], row["flops"]) for row in rows_of(write_nds_json(tmp_path, "DARTS", [record]))} == {(None, None)}


def changed(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda record: record.update(values)


DAMAGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no errors": (lambda record: record.pop("test_ep_top1"), "it has no 'test_ep_top1'"),
    "no seed": (lambda record: record.pop("rng_seed"), "it has no 'rng_seed'"),
    "no optimiser": (lambda record: record.pop("optim"), "it has no 'optim'"),
    "an error instead of a list": (changed(test_ep_top1=7.5), "expected a list of errors in test_ep_top1, found float"),
    "an error of 101": (changed(test_ep_top1=[101.0]), "expected a percentage from 0 to 100, found 101.0"),
    "a negative error": (changed(test_ep_top1=[-0.5]), "expected a percentage from 0 to 100, found -0.5"),
    "an endless error": (changed(test_ep_top1=[math.inf]), "expected a percentage from 0 to 100, found inf"),
    "an error in letters": (changed(test_ep_top1=["7.5"]), "expected a percentage from 0 to 100, found '7.5'"),
    "a truth value": (changed(test_ep_top1=[True]), "expected a percentage from 0 to 100, found True"),
    "a seed in letters": (changed(rng_seed="1"), "expected an integer rng_seed, found '1'"),
    "a seed of 65 bits": (changed(rng_seed=2**64), "expected an integer rng_seed, found 18446744073709551616"),
    "half a parameter": (changed(params=0.5), "expected a count in params, found 0.5"),
    "negative flops": (changed(flops=-1), "expected a count in flops, found -1"),
    "endless flops": (changed(flops=math.inf), "expected a count in flops, found inf"),
    "flops that are no number": (changed(flops=math.nan), "expected a count in flops, found nan"),
    "an optimiser that is none": (changed(optim=[0.1]), "expected an object in optim, found list"),
    "a learning rate that is no number": (changed(optim={"base_lr": math.nan}), "a number in optim is not finite"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=list(DAMAGES))
def test_a_record_that_makes_no_sense(tmp_path: Path, damage: Callable[[dict[str, Any]], object], message: str) -> None:
    record = nds_record(CELL_NET)
    damage(record)
    path = write_nds_zip(tmp_path / "data.zip", {"DARTS": [RECORDS[0], record]})
    with pytest.raises(BenchmarkError) as caught:
        read_nds(path, "DARTS")
    assert str(caught.value) == f"{path}: record 1 of DARTS: {message}"


def test_read_accuracies_takes_archive_and_json_file(path: Path) -> None:
    json_file = write_nds_json(path.parent, "DARTS", RECORDS)
    archive = read_accuracies("nds_darts", path).read_all().drop_columns("source_digest")
    assert archive.equals(read_accuracies("nds_darts", json_file).read_all().drop_columns("source_digest"))
    with pytest.raises(BenchmarkError, match=r"DARTS.json holds accuracies of nds_darts, not of nds_enas$"):
        read_accuracies("nds_enas", json_file)
    with pytest.raises(
        BenchmarkError, match=r"mine.json: expected .* a data.zip, or a .json file from it under its official name"
    ):
        read_accuracies("nds_darts", json_file.rename(path.with_name("mine.json")))
    several = r"holds accuracies of nds_amoeba, nds_amoeba_in, nds_darts and 31 more spaces, not of nasbench201$"
    with pytest.raises(BenchmarkError, match=several):
        read_accuracies("nasbench201", path)
    with pytest.raises(SettingsError, match=r"--map is for tables; .*data.zip is an official file of nds_darts"):
        read_accuracies("nds_darts", path, ["cifar10/test/100=x"])


def test_a_value_that_no_column_holds() -> None:
    row = {"arch_id": "a", "dataset": "cifar10", "split": "test", "epochs": 2**31, "accuracy": 90.0}
    with pytest.raises(BenchmarkError, match=r"^accuracies of nds_darts have a value that no column holds: "):
        list(batches_of("nds_darts", "digest", [row]))
