"""The way from a space to joined rows, for every space and its official file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import naswot_ray
from naswot_ray.benchmarks.formats import read_accuracies
from naswot_ray.dataset.accuracies import add_accuracies, stage
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from naswot_ray.errors import SettingsError
from naswot_ray.spaces import get_space
from tests.benchmarks.nasbench101_files import Training, write_tfrecord
from tests.benchmarks.official_nats import SSS, TSS
from tests.datasets import logical_rows, score_here
from tests.spaces.nds_files import ANYNET, CELL_NET, nds_record, write_nds_zip


def joined(root: Path, space: str, official: Path) -> tuple[Dataset, list[dict[str, Any]]]:
    """Import an official file, and join."""
    dataset = naswot_ray.open(root)
    add_accuracies(dataset, stage(read_accuracies(space, official)))
    join(dataset, space)
    return dataset, dataset.joined.to_table().to_pylist()


@pytest.mark.usefixtures("nasbench101")  # computes all hashes once
def test_nasbench101(tmp_path: Path) -> None:
    space = get_space("nasbench101")
    score_here(tmp_path / "d", space=["nasbench101"], sample=4, batch_size=[4], seed=[0], shard_size=100_000)
    scored = naswot_ray.open(tmp_path / "d").scores.to_table().to_pylist()
    assert [space[row["arch_index"]] for row in scored] == [row["arch_id"] for row in scored]
    hashes = [row["arch_id"] for row in scored]
    trainings = [Training(h, 108, 0.91, 0.9 + k / 100) for h in hashes[:3] for k in range(3)]
    dataset, rows = joined(tmp_path / "d", "nasbench101", write_tfrecord(tmp_path / "only108.tfrecord", trainings))
    assert sorted({row["arch_id"] for row in rows}) == sorted(hashes[:3])
    for row in rows:
        if row["split"] == "test":
            assert (row["accuracy"], row["max_accuracy"]) == (pytest.approx(91.0), pytest.approx(92.0))
            assert (row["epochs"], row["num_repeats"]) == (108, 3)
    for row in dataset.architectures.to_table().to_pylist():
        assert row["status"] == "ok", row["error"]
        assert row["benchmark_index"] == space.benchmark_index(row["arch_id"])
        cell = json.loads(row["architecture"])
        assert cell["ops"][0] == "input"
        assert len(cell["matrix"]) == len(cell["ops"])
        assert row["params"] == space.trained_network(row["arch_id"]).params > space.network(row["arch_id"]).params


@pytest.mark.usefixtures("nasbench101")
def test_nasbench101_of_other_channels_is_another_dataset(tmp_path: Path) -> None:
    options: dict[str, Any] = {"space": ["nasbench101"], "limit": 3, "batch_size": [4], "seed": [0]}
    score_here(tmp_path / "16", **options)
    score_here(tmp_path / "32", **options, space_option=["stem_channels=32"])
    assert logical_rows(tmp_path / "16") != logical_rows(tmp_path / "32")
    assert naswot_ray.open(tmp_path / "32").manifest.settings.spaces["nasbench101"]["stem_channels"] == 32
    with pytest.raises(SettingsError, match=r"spaces\.nasbench101\.stem_channels is 16 there, 32 in this run"):
        score_here(tmp_path / "16", **options, space_option=["stem_channels=32"])


@pytest.mark.parametrize(("space", "folder", "epochs"), [("nasbench201", TSS, {12, 200}), ("nats_sss", SSS, {1, 12, 90})])
def test_nats(tmp_path: Path, nats: Path, space: str, folder: str, epochs: set[int]) -> None:
    score_here(tmp_path / "d", space=[space], limit=1, batch_size=[4], seed=[0])
    _, rows = joined(tmp_path / "d", space, nats / folder)
    assert {row["arch_id"] for row in rows} == {get_space(space)[0]}
    assert {row["epochs"] for row in rows} == epochs
    assert {row["dataset"] for row in rows} >= {"cifar10", "cifar100", "imagenet16-120"}


def test_nds(tmp_path: Path) -> None:
    records = [nds_record({**CELL_NET, "width": 4, "depth": 3}), nds_record(CELL_NET, errors=[None])]
    broken = nds_record({**ANYNET, "ws": [0, 8, 8]})
    archive = write_nds_zip(
        tmp_path / "data.zip", {"DARTS": records, "ResNeXt-A": {"top": [nds_record(ANYNET)], "mid": [broken]}}
    )
    record = score_here(
        tmp_path / "d",
        space=["nds_darts", "nds_resnext-a"],
        space_option=[f"source={archive}"],
        batch_size=[4],
        seed=[0],
    )
    assert record.counts == {"rows": 4, "ok": 3, "failed": 1}
    dataset, rows = joined(tmp_path / "d", "nds_darts", archive)
    assert [(row["arch_index"], row["accuracy"]) for row in rows] == [(0, pytest.approx(92.55))]
    add_accuracies(dataset, stage(read_accuracies("nds_resnext-a", archive)))
    report = join(dataset, "nds_resnext-a")
    assert (report.num_matched, report.only_scored) == (2, [])
    (failed,) = [row for row in dataset.scores.to_table().to_pylist() if row["status"] == "failed"]
    assert (failed["space"], failed["arch_index"]) == ("nds_resnext-a", 1)


def test_one_record_that_cannot_be_computed_costs_no_other(tmp_path: Path) -> None:
    nets = [{**CELL_NET, "width": 4, "depth": 3}, *({**CELL_NET, key: 10**9} for key in ("width", "depth"))]
    archive = write_nds_zip(tmp_path / "data.zip", {"DARTS": [nds_record(net) for net in (*nets, nets[0])]})
    record = score_here(tmp_path / "d", space=["nds_darts"], space_option=[f"source={archive}"], batch_size=[4], seed=[0])
    assert record.counts == {"rows": 4, "ok": 2, "failed": 2}
    for table in (naswot_ray.open(tmp_path / "d").scores, naswot_ray.open(tmp_path / "d").architectures):
        rows = table.sort_by("arch_index").to_table().to_pylist()
        assert [row["status"] for row in rows] == ["ok", "failed", "failed", "ok"]
        assert [row["error"] and row["error"].partition(": expected")[0].partition(" ")[2] for row in rows] == [
            None,
            f"DARTS {rows[1]['arch_id']}: width 1000000000",
            f"DARTS {rows[2]['arch_id']}: depth 1000000000",
            None,
        ]


def test_a_dataset_of_nds_is_told_apart_from_one_of_another_file(tmp_path: Path) -> None:
    options: dict[str, Any] = {"space": ["nds_darts"], "batch_size": [4], "seed": [0]}
    for name, width in (("a", 4), ("b", 8)):
        (tmp_path / name).mkdir()
        write_nds_zip(tmp_path / name / "data.zip", {"DARTS": [nds_record({**CELL_NET, "width": width, "depth": 3})]})
    score_here(tmp_path / "d", **options, space_option=[f"source={tmp_path / 'a' / 'data.zip'}"])
    with pytest.raises(SettingsError, match=r"spaces\.nds_darts\.digest is "):
        score_here(tmp_path / "d", **options, space_option=[f"source={tmp_path / 'b' / 'data.zip'}"])


def test_networks_for_imagenet_need_an_image_size(tmp_path: Path) -> None:
    archive = write_nds_zip(tmp_path / "data.zip", {"DARTS_in": [nds_record({**CELL_NET, "width": 4, "depth": 3})]})
    options: dict[str, Any] = {"space": ["nds_darts_in"], "space_option": [f"source={archive}"], "batch_size": [4], "seed": [0]}
    with pytest.raises(SettingsError, match=r"^nds_darts_in has networks for images of 224 pixels, .* give --image-size 224"):
        score_here(tmp_path / "d", **options)
    assert not (tmp_path / "d").exists()
    assert score_here(tmp_path / "d", **options, image_size=64).counts == {"rows": 1, "ok": 1}
    (row,) = naswot_ray.open(tmp_path / "d").scores.to_table().to_pylist()
    assert row["images"] == "noise-64"
    (architecture,) = naswot_ray.open(tmp_path / "d").architectures.to_table().to_pylist()
    assert architecture["flops"] > 1e6, "of the network at 224 pixels"
