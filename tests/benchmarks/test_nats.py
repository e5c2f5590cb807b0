"""NATS-Bench's own files: their values, and what happens if they are broken."""

from __future__ import annotations

import bz2
import contextlib
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from nats_bench import NATSsize

from naswot_ray.benchmarks.formats import read_accuracies
from naswot_ray.benchmarks.nats import META, is_nats_directory, read_nats
from naswot_ray.dataset import schema
from naswot_ray.errors import BenchmarkError, SettingsError
from naswot_ray.spaces import get_space
from tests.benchmarks.official_nats import INDEXES, SPACES, SSS, TSS, Bomb, dump, load
from tests.benchmarks.refusing import refusal
from tests.data import find_table

ARCHITECTURE = "000011.pickle.pbz2"

SAME_FACTS = {
    "cifar10_test_acc_200": ("cifar10", "test", 200),
    "cifar100_test_acc_200": ("cifar100", "test", 200),
    "imagenet16_test_acc_200": ("imagenet16-120", "test", 200),
    "cifar10valid_valid_acc_200": ("cifar10-valid", "valid", 200),
    "cifar10valid_test_acc_200": ("cifar10-valid", "test", 200),
    "cifar10_test_acc_12": ("cifar10", "test", 12),
    "cifar10valid_valid_acc_12": ("cifar10-valid", "valid", 12),
    "cifar100_test_acc_12": ("cifar100", "test", 12),
    "cifar100_valid_acc_12": ("cifar100", "valid", 12),
    "imagenet16_test_acc_12": ("imagenet16-120", "test", 12),
    "imagenet16_valid_acc_12": ("imagenet16-120", "valid", 12),
}
"""Column of the development table, which comes from other publications -> the same fact in the benchmark's files."""


@pytest.fixture
def fixture(nats: Path) -> Path:
    """The real directory with three architectures. Tests may only read it."""
    return nats


@pytest.fixture
def copy(fixture: Path, tmp_path: Path) -> Path:
    """A copy of the directory, which a test may damage."""
    shutil.copytree(fixture / TSS, tmp_path / TSS, copy_function=shutil.copyfile)
    return tmp_path / TSS


def test_the_values_are_those_published_elsewhere(fixture: Path) -> None:
    published = {row["arch_index"]: row for row in pq.read_table(find_table("nasbench201.parquet")).to_pylist()}
    rows = read_nats(fixture / TSS).read_all().to_pylist()
    means = {(r["arch_id"], r["dataset"], r["split"], r["epochs"]): r["accuracy"] for r in rows if r["seed"] is None}
    for index in INDEXES:
        assert published[index]["arch_str"] == get_space("nasbench201")[index]
        for column, key in SAME_FACTS.items():
            found = means[(published[index]["arch_str"], *key)]
            assert found == pytest.approx(published[index][column], abs=1e-9), f"{column} of {index}"


def test_training_times_and_sizes_are_those_published_elsewhere(fixture: Path) -> None:
    published = {row["arch_str"]: row for row in pq.read_table(find_table("nasbench201.parquet")).to_pylist()}
    names = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "imagenet16"}
    rows = read_nats(fixture / TSS).read_all().to_pylist()
    for row in rows:
        if row["dataset"] in names:
            name, other = names[row["dataset"]], published[row["arch_id"]]
            assert row["params"] == other[f"{name}_params"]
            seconds = other[f"{name}_train_time_total_s"] * row["epochs"] / 200
            assert row["training_seconds"] == pytest.approx(seconds)


@pytest.mark.parametrize("name", [TSS, SSS])
def test_params_and_flops_are_those_of_the_network(fixture: Path, name: str) -> None:
    space = get_space(SPACES[name])
    for row in read_nats(fixture / name).read_all().to_pylist():
        size, num_classes = {"cifar100": (32, 100), "imagenet16-120": (16, 120)}.get(row["dataset"], (32, 10))
        network = space.network(row["arch_id"], input_shape=(3, size, size), num_classes=num_classes)
        assert (row["params"], row["flops"]) == (network.params, network.flops)


def test_the_size_search_space(fixture: Path) -> None:
    """One row for each number that `nats_bench` itself finds in the real directory."""
    api = NATSsize(str(fixture / SSS), fast_mode=True, verbose=False)
    rows = read_nats(fixture / SSS).read_all().to_pylist()
    seeds = {(row["epochs"], row["seed"]) for row in rows if row["seed"] is not None}
    assert seeds == {(1, 777), (12, 777), (12, 888), (12, 999), (90, 777)}
    official = {
        "cifar10-valid": "cifar10-valid",
        "cifar10": "cifar10",
        "cifar100": "cifar100",
        "imagenet16-120": "ImageNet16-120",
    }
    assert {row["arch_id"] for row in rows} == {get_space("nats_sss")[index] for index in INDEXES}
    for row in rows:
        info = api.get_more_info(
            get_space("nats_sss").index(row["arch_id"]),
            official[row["dataset"]],
            hp=f"{row['epochs']:02}",
            is_random=row["seed"] or False,
        )
        assert row["accuracy"] == pytest.approx(info[f"{row['split']}-accuracy"], abs=1e-9)
        assert row["training_seconds"] == pytest.approx(info["train-all-time"])
        assert row["num_repeats"] == (None if row["seed"] else 3 if row["epochs"] == 12 else 1)
    assert len(rows) == 3 * 9 * (2 + 4 + 2)  # architectures, evaluation sets, repeats with their means


def test_repeats_that_disagree_on_the_network(copy: Path) -> None:
    """This is the benchmark's "legacy issue": some repeats have the params of another network; those of seed 888 are right."""
    content = load(copy / ARCHITECTURE)
    trials = content["200"]["all_results"]
    trials["cifar10", 777]["params"] = 1.5
    trials["cifar100", 888]["flop"] = 7.25
    trials["ImageNet16-120", 999]["params"] = 0.5
    del trials["ImageNet16-120", 888]
    content["200"]["dataset_seed"]["ImageNet16-120"].remove(888)
    for seed in (777, 888, 999):
        trials["cifar10-valid", seed]["flop"] = 113.9513705
    dump(copy / ARCHITECTURE, content)
    found = {}
    for row in read_nats(copy).read_all().to_pylist():
        if row["arch_id"] == get_space("nasbench201")[11] and row["epochs"] == 200:
            found[row["dataset"]] = (row["params"], row["flops"])
    assert found == {
        "cifar10": (802426, 113951370),
        "cifar100": (808276, 7250000),
        "imagenet16-120": (None, 28495480),
        "cifar10-valid": (802426, None),
    }


def test_training_times_may_be_missing(copy: Path) -> None:
    content = load(copy / ARCHITECTURE)
    content["200"]["all_results"]["cifar10", 888]["train_times"] = None
    dump(copy / ARCHITECTURE, content)
    rows = [r for r in read_nats(copy).read_all().to_pylist() if r["arch_id"] == get_space("nasbench201")[11]]
    seconds = {row["seed"]: row["training_seconds"] for row in rows if (row["dataset"], row["epochs"]) == ("cifar10", 200)}
    assert seconds == {777: pytest.approx(4984.8227), 888: None, 999: pytest.approx(4984.8227), None: None}


def test_progress_ends_with_all_bytes(copy: Path) -> None:
    calls: list[tuple[int, int]] = []
    read_nats(copy, lambda done, total: calls.append((done, total))).read_all()
    sizes = [(copy / f"{index:06d}.pickle.pbz2").stat().st_size for index in INDEXES]
    assert calls == [(sum(sizes[:n]), sum(sizes)) for n in (1, 2, 3)]


def test_repeats_are_kept_and_their_mean_says_how_many_they_are(fixture: Path) -> None:
    rows = read_nats(fixture / TSS).read_all().to_pylist()
    for arch_id in {row["arch_id"] for row in rows}:
        mine = [r for r in rows if (r["arch_id"], r["dataset"], r["split"], r["epochs"]) == (arch_id, "cifar10", "test", 200)]
        repeats = {row["seed"]: row["accuracy"] for row in mine if row["seed"] is not None}
        (mean,) = (row for row in mine if row["seed"] is None)
        assert sorted(repeats) == [777, 888, 999]
        assert mean["num_repeats"] == 3
        assert mean["accuracy"] == pytest.approx(sum(repeats.values()) / 3)
        assert len(set(repeats.values())) == 3
    assert {row["seed"] for row in rows if row["epochs"] == 12} == {None, 111, 777}
    assert {row["num_repeats"] for row in rows if row["seed"] is None and row["epochs"] == 12} == {1, 2}
    assert all(row["num_repeats"] is None for row in rows if row["seed"] is not None)


def test_valtest_is_the_mean_of_its_halves(fixture: Path) -> None:
    rows = read_nats(fixture / TSS).read_all().to_pylist()
    found = {(r["arch_id"], r["dataset"], r["epochs"], r["seed"], r["split"]): r["accuracy"] for r in rows}
    checked = 0
    for (*key, split), accuracy in found.items():
        if split == "valtest":
            assert accuracy == pytest.approx((found[(*key, "valid")] + found[(*key, "test")]) / 2, abs=1e-6)
            checked += 1
    assert checked == 36


def test_the_table_has_the_schema_and_says_where_it_comes_from(fixture: Path) -> None:
    accuracies = read_nats(fixture / TSS)
    table = accuracies.read_all()
    assert table.schema.equals(schema.ACCURACIES)
    assert (accuracies.space, accuracies.source) == ("nasbench201", TSS)
    assert set(table["space"].to_pylist()) == {"nasbench201"}
    assert set(table["source_digest"].to_pylist()) == {accuracies.digest}
    assert set(table["arch_id"].to_pylist()) == {get_space("nasbench201")[i] for i in INDEXES}
    assert set(table["dataset"].to_pylist()) == {"cifar10", "cifar10-valid", "cifar100", "imagenet16-120"}


def test_the_digest_is_of_the_content(fixture: Path, copy: Path) -> None:
    whole = read_nats(fixture / TSS)
    assert read_nats(copy).digest == whole.digest
    (copy / ARCHITECTURE).unlink()
    fewer = read_nats(copy)
    assert fewer.digest != whole.digest
    assert fewer.read_all().num_rows == whole.read_all().num_rows * 2 // 3


def test_relative_and_linked_paths(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    assert read_nats(Path()).source == TSS
    (copy.parent / "link").symlink_to(copy)
    assert read_nats(copy.parent / "link").source == TSS


def refuses(path: Path, *named: Path | str) -> str:
    return refusal(lambda: read_nats(path).read_all(), *named)


@pytest.mark.parametrize("name", [ARCHITECTURE, META])
@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_named(copy: Path, name: str, keep: float) -> None:
    file = copy / name
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data))])
    refuses(copy, file, "unpack the archive again")


@pytest.mark.parametrize("name", [ARCHITECTURE, META])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.7, 0.9999])
def test_a_flipped_bit_is_noticed(copy: Path, name: str, place: float) -> None:
    file = copy / name
    data = bytearray(file.read_bytes())
    data[int(place * len(data))] ^= 0x10
    file.write_bytes(data)
    refuses(copy, file)


@pytest.mark.parametrize("name", [ARCHITECTURE, META])
def test_a_malicious_pickle_is_not_run(copy: Path, tmp_path: Path, name: str) -> None:
    marker = tmp_path / "was-here"
    content = load(copy / name)
    content["extra"] = Bomb(marker)
    dump(copy / name, content)
    message = refuses(copy, copy / name)
    assert "system" in message
    assert not marker.exists()
    pickle.loads(bz2.decompress((copy / name).read_bytes()))  # without the check, the planted code does run
    assert marker.exists()


@pytest.mark.parametrize("suffix", ["", ".pbz2"])
def test_a_file_cannot_have_another_file_unpickled(copy: Path, tmp_path: Path, suffix: str) -> None:
    """If `nats_bench` finds a string in place of results, it takes it for the name of a pickle and loads that carelessly."""
    marker = tmp_path / "was-here"
    dump(copy / f"innocent{suffix}", Bomb(marker))
    dump(copy / ARCHITECTURE, {"200": str(copy / "innocent")})
    with contextlib.suppress(BenchmarkError):
        read_nats(copy)
    assert not marker.exists()
    refuses(copy, copy / ARCHITECTURE)


@pytest.mark.parametrize("asked", [eval, getattr, np.load, bz2.open, os.getenv], ids=lambda f: str(f.__name__))
def test_no_function_can_be_asked_for(copy: Path, asked: Callable[..., Any]) -> None:
    dump(copy / ARCHITECTURE, {"200": asked})
    refuses(copy, copy / ARCHITECTURE, asked.__name__)


def test_a_file_of_another_architecture(copy: Path) -> None:
    shutil.copyfile(copy / "000000.pickle.pbz2", copy / ARCHITECTURE)
    message = refuses(copy, copy / ARCHITECTURE)
    assert get_space("nasbench201")[0] in message
    assert get_space("nasbench201")[11] in message


@pytest.mark.parametrize("name", ["015625.pickle.pbz2", "999999.pickle.pbz2", "eleven.pickle.pbz2", "-00001.pickle.pbz2"])
def test_a_file_whose_number_no_architecture_has(copy: Path, name: str) -> None:
    (copy / ARCHITECTURE).rename(copy / name)
    refuses(copy, copy / name)


CONTENTS: dict[str, Any] = {
    "a list": [1, 2],
    "a number": 1,
    "no state": {"200": 1},
    "an empty state": {"200": {}},
    "epochs of letters": {"many": {}},
    "another key": {"arch_str": "x"},
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=list(CONTENTS))
def test_a_file_of_other_content(copy: Path, content: Any) -> None:
    dump(copy / ARCHITECTURE, content)
    refuses(copy, copy / ARCHITECTURE)


def broken(damage: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    """Damage every trial in the results of an architecture."""

    def apply(content: dict[str, Any]) -> None:
        for result in content["200"]["all_results"].values():
            damage(result)

    return apply


DAMAGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no results": lambda content: content["200"].update(all_results=None),
    "results without accuracies": broken(lambda result: result.update(eval_acc1es={})),
    "accuracies that are no numbers": broken(
        lambda result: result.update(eval_acc1es=dict.fromkeys(result["eval_acc1es"], "x"))
    ),
    "an accuracy of nothing": broken(
        lambda result: result.update(eval_acc1es=dict.fromkeys(result["eval_acc1es"], float("nan")))
    ),
    "an accuracy of 900 percent": broken(lambda result: result.update(eval_acc1es=dict.fromkeys(result["eval_acc1es"], 900.0))),
    "no epochs": broken(lambda result: result.update(epochs=0)),
    "an unknown dataset": lambda content: content["200"].update(dataset_seed={"mnist": [777]}),
    "another number of epochs": broken(lambda result: result.update(epochs=199)),
    "a training time of nothing": broken(lambda result: result.update(train_times=dict.fromkeys(range(200), float("nan")))),
    "params of letters": broken(lambda result: result.update(params="many")),
    "an unknown schedule": lambda content: content.update({"90": content["200"]}),
    "no schedule": lambda content: content.clear(),
    "a schedule twice": lambda content: content.update({"12": content["200"]}),
    "a seed without results": lambda content: content["200"]["dataset_seed"]["cifar10"].append(1),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_results_that_make_no_sense(copy: Path, damage: Callable[[dict[str, Any]], object]) -> None:
    content = load(copy / ARCHITECTURE)
    damage(content)
    dump(copy / ARCHITECTURE, content)
    refuses(copy, copy / ARCHITECTURE)


@pytest.mark.parametrize("content", [{}, {"meta_archs": None}, {"meta_archs": [1, 2]}, ["meta_archs"]])
def test_a_meta_file_of_other_content(copy: Path, content: Any) -> None:
    dump(copy / META, content)
    refuses(copy, copy / META)


def test_a_directory_of_another_name(copy: Path) -> None:
    moved = copy.rename(copy.parent / "nats")
    refuses(moved, moved, "NATS-tss or NATS-sss")


def test_the_size_search_space_is_another_space(fixture: Path) -> None:
    with pytest.raises(BenchmarkError, match=f"{SSS} holds accuracies of nats_sss, not of nasbench201"):
        read_accuracies("nasbench201", fixture / SSS)


def test_the_size_search_space_under_the_wrong_name(fixture: Path, tmp_path: Path) -> None:
    shutil.copytree(fixture / SSS, tmp_path / TSS, copy_function=shutil.copyfile)
    refuses(tmp_path / TSS, tmp_path / TSS, "not the architectures of nasbench201")


def test_a_file_that_unpacks_to_gigabytes(copy: Path) -> None:
    (copy / ARCHITECTURE).write_bytes(bz2.compress(b"N" * (9 << 20)))
    assert (copy / ARCHITECTURE).stat().st_size < 100
    refuses(copy, copy / ARCHITECTURE, "unpacks to more than")


def test_a_directory_without_architectures(copy: Path) -> None:
    for file in copy.glob("0*.pbz2"):
        file.unlink()
    refuses(copy, copy, "no architecture files")


def test_a_folder_named_like_an_architecture(copy: Path) -> None:
    (copy / "000012.pickle.pbz2").mkdir()
    with pytest.raises(BenchmarkError, match=r"000012\.pickle\.pbz2 cannot be read: it is a folder, expected a regular file$"):
        read_accuracies("nasbench201", copy)


NAMES = ("NATS-tss-v1_0-3ffb9.pickle.pbz2", "NAS-Bench-201-v1_1-096897.pth", "t.csv", "t.parquet", "data.zip", "a.tfrecord")


@pytest.mark.parametrize("name", NAMES)
def test_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(BenchmarkError, match=f"{name} cannot be read: it is a device, expected a regular file$"):
        read_accuracies("nasbench201", tmp_path / name)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(BenchmarkError, match=f"{name} cannot be read: it is a pipe, expected a regular file$"):
        read_accuracies("nasbench201", tmp_path / name)


def test_an_architecture_that_is_a_pipe(copy: Path) -> None:
    os.mkfifo(copy / "000012.pickle.pbz2")
    with pytest.raises(BenchmarkError, match=r"000012\.pickle\.pbz2 cannot be read: it is a pipe, expected a regular file$"):
        read_accuracies("nasbench201", copy)


def test_what_is_a_nats_directory(copy: Path, tmp_path: Path) -> None:
    assert is_nats_directory(copy)
    assert not is_nats_directory(tmp_path)
    assert not is_nats_directory(copy / META)


def test_read_accuracies_takes_the_directory(copy: Path) -> None:
    assert read_accuracies("nasbench201", copy).read_all().equals(read_nats(copy).read_all())
    with pytest.raises(BenchmarkError, match=f"{TSS} holds accuracies of nasbench201, not of nats_sss"):
        read_accuracies("nats_sss", copy)
    with pytest.raises(SettingsError, match=f"--map is for tables; .*{TSS} is an official file of nasbench201"):
        read_accuracies("nasbench201", copy, ["cifar10/test/200=x"])


def test_reading_says_nothing(fixture: Path, capfd: pytest.CaptureFixture[str]) -> None:
    read_nats(fixture / TSS)
    assert capfd.readouterr() == ("", "")
