"""How the format of a file is recognised: our formats, those of other packages, and files that merely have an official name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from naswot_ray.benchmarks import nasbench101
from naswot_ray.benchmarks.formats import ENTRY_POINTS, all_formats, read_accuracies, told_space
from naswot_ray.errors import BenchmarkError, SettingsError
from naswot_ray.fetch.digests import Digest
from tests.benchmarks.nasbench101_files import Training, write_tfrecord
from tests.packages import install

TRAININGS = [Training(f"{i:032x}", 108, 0.9, 0.9) for i in range(3)]


@pytest.mark.parametrize("name", ["nasbench_only108.tfrecord", "nasbench_full.tfrecord"])
def test_an_official_name_with_another_content(tmp_path: Path, name: str) -> None:
    """If a file is cut between two records, its own checksums still are right."""
    path = write_tfrecord(tmp_path / name, TRAININGS)
    with pytest.raises(BenchmarkError, match=rf"{name} is not the official file of that name: its \w+ is \w+, expected "):
        read_accuracies("nasbench101", path)


def test_the_official_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tfrecord(tmp_path / "nasbench_only108.tfrecord", TRAININGS)
    digest = Digest("sha256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(nasbench101, "known_digest", {path.name: digest}.get)
    assert read_accuracies("nasbench101", path).read_all().num_rows == 3 * 4


def test_any_other_name(tmp_path: Path) -> None:
    path = write_tfrecord(tmp_path / "some.tfrecord", TRAININGS)
    assert read_accuracies("nasbench101", path).read_all().num_rows == 3 * 4


OFFERED = """
from naswot_ray.benchmarks.format import Format
from naswot_ray.benchmarks.sources import digest_of
from naswot_ray.dataset.accuracies import AccuracyTable, batches_of

def read(path, space, progress):
    lines = [line.split() for line in path.read_text().splitlines()]
    rows = [
        {"arch_id": arch_id, "dataset": "cifar10", "split": "test", "epochs": 1, "accuracy": float(accuracy)}
        for arch_id, accuracy in lines
    ]
    digest = digest_of([path])
    return AccuracyTable(space, path.name, digest, batches_of(space, digest, rows))

def toy(name, suffix):
    return Format(name, f"a {suffix} file", "a toy", lambda path: path.suffix == suffix, lambda path: ("toy_space",), read)

mine = toy("mine", ".mine")
taken = toy("nds", ".mine")
second = toy("second", ".mine")
other = toy("other", ".json")
none = "a text"
"""


@pytest.fixture
def forget() -> Iterator[None]:
    """Formats are listed once per process."""
    yield
    all_formats.cache_clear()


def offer(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    package = folder / "package"
    package.mkdir()
    install(package, monkeypatch, f"formats_{folder.name}", OFFERED, ENTRY_POINTS, **{name: name for name in names})
    all_formats.cache_clear()


def test_every_file_here_is_found() -> None:
    assert list(all_formats()) == ["nasbench101", "nasbench201", "nats-directory", "nats-file", "nds"]


@pytest.mark.parametrize(
    ("name", "space"),
    [
        ("some.tfrecord", "nasbench101"),
        ("NAS-Bench-201-v1_1-096897.pth", "nasbench201"),
        ("NATS-sss-v1_0-50262.pickle.pbz2", "nats_sss"),
        ("ResNeXt-A_in.json", "nds_resnext-a_in"),
        ("data.zip", None),
        ("mine.json", None),
        ("table.csv", None),
    ],
)
def test_the_name_of_an_official_file_tells_its_space(name: str, space: str | None) -> None:
    assert told_space(Path("/nowhere") / name) == space


@pytest.mark.usefixtures("forget")
def test_another_package_offers_a_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, monkeypatch, "mine", "other")
    path = tmp_path / "a.mine"
    path.write_text("x 93.5\ny 91\n")
    assert told_space(path) == "toy_space"
    assert read_accuracies("toy_space", path).read_all()["accuracy"].to_pylist() == [93.5, 91.0]
    with pytest.raises(BenchmarkError, match=r"a.mine holds accuracies of toy_space, not of nasbench201$"):
        read_accuracies("nasbench201", path)
    # Formats may share a suffix if their spaces differ.
    json_file = path.rename(tmp_path / "DARTS.json")
    assert read_accuracies("toy_space", json_file).read_all().num_rows == 2
    assert told_space(json_file) is None
    with pytest.raises(BenchmarkError, match=r"expected .*a .mine file \(a toy\), a .json file \(a toy\), or a .parquet or "):
        read_accuracies("toy_space", json_file.rename(tmp_path / "a.txt"))


@pytest.mark.usefixtures("forget")
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["taken"], "naswot_ray.benchmarks 'taken': there is a format nds already; give it another name"),
        (["none"], "naswot_ray.benchmarks 'none': expected a format, found str"),
        (["missing"], "cannot be imported: AttributeError: "),
    ],
)
def test_what_is_no_new_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], message: str) -> None:
    offer(tmp_path, monkeypatch, *names)
    with pytest.raises(SettingsError) as caught:
        all_formats()
    assert message in str(caught.value)


@pytest.mark.usefixtures("forget")
def test_two_formats_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, monkeypatch, "mine", "second")
    (tmp_path / "a.mine").write_text("")
    with pytest.raises(BenchmarkError, match=r"a.mine could be of several formats: mine, second; rename it"):
        read_accuracies("toy_space", tmp_path / "a.mine")
