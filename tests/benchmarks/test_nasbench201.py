"""NAS-Bench-201's .pth files, in both formats of `torch.save`."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nas_201_api import NASBench201API

from naswot_ray.benchmarks.formats import read_accuracies
from naswot_ray.benchmarks.nasbench201 import read_nasbench201
from naswot_ray.benchmarks.nats import read_nats
from naswot_ray.errors import BenchmarkError, SettingsError
from naswot_ray.spaces import get_space
from tests.benchmarks.official_nats import TSS, Bomb, real_results, rename_by_md5, save_nasbench201, whole_of_nasbench201
from tests.benchmarks.refusing import refusal

both_formats = pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "zip"])


@pytest.fixture
def fixture(nats: Path) -> Path:
    """NATS-Bench's real directory with three architectures, which holds the same trainings."""
    return nats / TSS


@pytest.fixture
def content(fixture: Path) -> dict[str, Any]:
    return whole_of_nasbench201(real_results(fixture, [11, 284]))


def refuses(path: Path, *named: str) -> str:
    return refusal(lambda: read_nasbench201(path).read_all(), path, *named)


@both_formats
def test_the_rows_are_those_of_nats_bench(fixture: Path, tmp_path: Path, legacy: bool) -> None:
    path = save_nasbench201(tmp_path, whole_of_nasbench201(real_results(fixture)), legacy=legacy)
    accuracies = read_nasbench201(path)
    assert (accuracies.space, accuracies.source) == ("nasbench201", path.name)
    rows = accuracies.read_all().drop_columns("source_digest").to_pylist()
    expected = read_nats(fixture).read_all().drop_columns("source_digest").to_pylist()
    assert sorted(map(str, rows)) == sorted(map(str, expected))


def test_the_values_are_those_of_the_benchmarks_own_reader(content: dict[str, Any], tmp_path: Path) -> None:
    rows = read_nasbench201(save_nasbench201(tmp_path, content)).read_all().to_pylist()
    api = NASBench201API(content, verbose=False)
    assert len(rows) == 2 * 56
    for row in rows:
        dataset = "ImageNet16-120" if row["dataset"] == "imagenet16-120" else row["dataset"]
        index = get_space("nasbench201").index(row["arch_id"])
        info = api.get_more_info(index, dataset, hp=str(row["epochs"]), is_random=row["seed"] or False)
        assert row["accuracy"] == pytest.approx(info[f"{row['split']}-accuracy"], abs=1e-9)
        assert row["training_seconds"] == pytest.approx(info["train-all-time"])
        cost = api.get_cost_info(index, dataset, hp=str(row["epochs"]))
        assert row["params"] == round(cost["params"] * 1e6)
        assert row["flops"] == round(cost["flops"] * 1e6)


def test_numbers_of_repeats_differ(content: dict[str, Any], tmp_path: Path) -> None:
    """The same is true of the official files: 2,225 architectures were trained once, 5,439 twice."""
    state = content["arch2infos"][11]["full"]
    for dataset in state["dataset_seed"]:
        for seed in (888, 999):
            del state["all_results"][dataset, seed]
        state["dataset_seed"][dataset] = [777]
    rows = read_nasbench201(save_nasbench201(tmp_path, content)).read_all().to_pylist()
    mine = [row for row in rows if row["arch_id"] == get_space("nasbench201")[11] and row["epochs"] == 200]
    assert {row["seed"] for row in mine} == {777, None}
    assert {row["num_repeats"] for row in mine if row["seed"] is None} == {1}
    others = [row for row in rows if row["arch_id"] == get_space("nasbench201")[284] and row["epochs"] == 200]
    assert {row["num_repeats"] for row in others if row["seed"] is None} == {3}


def test_the_first_version_has_12_epochs_on_one_dataset(content: dict[str, Any], tmp_path: Path) -> None:
    for infos in content["arch2infos"].values():
        seeds = infos["less"]["dataset_seed"]
        infos["less"]["dataset_seed"] = {"cifar10-valid": seeds["cifar10-valid"]}
    rows = read_nasbench201(save_nasbench201(tmp_path, content)).read_all().to_pylist()
    assert {row["dataset"] for row in rows if row["epochs"] == 12} == {"cifar10-valid"}
    assert {row["dataset"] for row in rows if row["epochs"] == 200} == {
        "cifar10-valid",
        "cifar10",
        "cifar100",
        "imagenet16-120",
    }


@both_formats
def test_progress_ends_with_all_bytes(content: dict[str, Any], tmp_path: Path, legacy: bool) -> None:
    calls: list[tuple[int, int]] = []
    read_nasbench201(save_nasbench201(tmp_path, content, legacy=legacy), lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls)
    assert calls[-1][0] == calls[-1][1]


def test_read_accuracies_takes_the_file(content: dict[str, Any], tmp_path: Path) -> None:
    path = save_nasbench201(tmp_path, content)
    assert read_accuracies("nasbench201", path).read_all().equals(read_nasbench201(path).read_all())
    with pytest.raises(BenchmarkError, match="holds accuracies of nasbench201, not of nats_sss"):
        read_accuracies("nats_sss", path)
    with pytest.raises(SettingsError, match="--map is for tables"):
        read_accuracies("nasbench201", path, ["cifar10/test/200=x"])


def test_the_md5_has_to_be_that_of_the_name(content: dict[str, Any], tmp_path: Path) -> None:
    path = save_nasbench201(tmp_path, content).rename(tmp_path / "NAS-Bench-201-v1_1-096897.pth")
    refuses(path, "its MD5 is", "096897", "download it again")
    refuses(path.rename(tmp_path / "mine.pth"), "expected its official name, NAS-Bench-201-v1_1-096897.pth")


@both_formats
def test_truncated_anywhere(content: dict[str, Any], tmp_path: Path, legacy: bool) -> None:
    path = save_nasbench201(tmp_path, content, legacy=legacy)
    data = path.read_bytes()
    for size in (0, 3, 20, *(len(data) * eighth // 8 for eighth in range(1, 8)), len(data) - 1):
        path.write_bytes(data[:size])
        refuses(path, "its MD5 is")
        refuses(rename_by_md5(path), "download it again")


@both_formats
@pytest.mark.parametrize("place", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99999])
def test_a_flipped_bit_is_noticed(content: dict[str, Any], tmp_path: Path, legacy: bool, place: float) -> None:
    path = save_nasbench201(tmp_path, content, legacy=legacy)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 0x10
    path.write_bytes(data)
    refuses(path, "its MD5 is")


@both_formats
def test_a_malicious_pickle_is_not_run(content: dict[str, Any], tmp_path: Path, legacy: bool) -> None:
    marker = tmp_path / "was-here"
    content["extra"] = Bomb(marker)
    path = save_nasbench201(tmp_path, content, legacy=legacy)
    assert "system, which plain data does not need" in refuses(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)  # without the check, the planted code does run
    assert marker.exists()


@both_formats
def test_a_state_cannot_have_another_file_loaded(content: dict[str, Any], tmp_path: Path, legacy: bool) -> None:
    """If `nas_201_api` finds a string in place of results, it takes the string for a file name and loads that file."""
    marker = tmp_path / "was-here"
    torch.save(Bomb(marker), tmp_path / "innocent.pth")
    content["arch2infos"][11]["less"] = str(tmp_path / "innocent.pth")
    refuses(save_nasbench201(tmp_path, content, legacy=legacy), "expected a dictionary of results under 'less', found str")
    assert not marker.exists()


@both_formats
def test_a_file_with_tensors(content: dict[str, Any], tmp_path: Path, legacy: bool) -> None:
    content["arch2infos"][11]["full"]["all_results"]["cifar10", 777]["net_state_dict"] = {"w": torch.zeros(2)}
    refuses(save_nasbench201(tmp_path, content, legacy=legacy), "which plain data does not need")


def test_something_behind_the_results(content: dict[str, Any], tmp_path: Path) -> None:
    path = save_nasbench201(tmp_path, content)
    path.write_bytes(path.read_bytes() + b"x")
    refuses(rename_by_md5(path), "expected nothing behind its results")


@pytest.mark.parametrize("other", [[1], {"meta_archs": []}, {"a": np.float64(1)}], ids=["list", "keys", "numbers"])
@both_formats
def test_a_file_of_other_content(tmp_path: Path, legacy: bool, other: Any) -> None:
    refuses(save_nasbench201(tmp_path, other, legacy=legacy), "expected a dictionary with meta_archs")


@pytest.mark.parametrize("names", [["readme"], ["../data.pkl"], ["/data.pkl"], ["data.pkl"], ["a/data.pkl", "b/data.pkl"]])
def test_an_archive_of_something_else(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "NAS-Bench-201-v1_1-000000.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, pickle.dumps({}))
    refuses(rename_by_md5(path), "is damaged or not a file of torch.save", "expected one member .../data.pkl")


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_the_checksum_of_an_archive_is_verified(content: dict[str, Any], tmp_path: Path, place: float) -> None:
    path = save_nasbench201(tmp_path, content, legacy=False)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 0x01
    path.write_bytes(data)
    refuses(rename_by_md5(path), "download it again")


def test_an_archive_that_unpacks_to_more_than_any(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_nasbench201(tmp_path, content, legacy=False)
    monkeypatch.setattr("naswot_ray.benchmarks.nasbench201._MAX_BYTES", 1 << 16)
    refuses(path, "unpacks to more than such a file has")
