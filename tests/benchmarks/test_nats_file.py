"""NATS-Bench in one file gives the same rows as the directory, and no row if the file is incomplete."""

from __future__ import annotations

import bz2
import contextlib
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nats_bench import NATSsize, NATStopology

from naswot_ray.benchmarks.formats import read_accuracies
from naswot_ray.benchmarks.nats import read_nats, read_nats_file
from naswot_ray.errors import BenchmarkError, SettingsError
from naswot_ray.spaces import get_space
from tests.benchmarks.official_nats import INDEXES, SPACES, SSS, TSS, Bomb, real_results, rename_by_md5, save_nats, whole
from tests.benchmarks.refusing import refusal

OFFICIAL = {TSS: NATStopology, SSS: NATSsize}


@pytest.fixture
def fixture(nats: Path) -> Path:
    """The real directories with three architectures each. Tests may only read them."""
    return nats


@pytest.fixture
def content(fixture: Path) -> dict[str, Any]:
    """The content of the file of the size space (the smaller one), with two architectures."""
    return whole("nats_sss", real_results(fixture / SSS, INDEXES[:2]))


def without_digest(table: pa.Table) -> pa.Table:
    return table.drop_columns("source_digest")


def refuses(path: Path, *named: str) -> str:
    return refusal(lambda: read_nats_file(path).read_all(), path, *named)


@pytest.mark.parametrize("name", [TSS, SSS])
def test_the_rows_of_the_directory(fixture: Path, tmp_path: Path, name: str) -> None:
    path = save_nats(tmp_path, name, whole(SPACES[name], real_results(fixture / name)))
    assert len(OFFICIAL[name](str(path), fast_mode=False, verbose=False).evaluated_indexes) == len(INDEXES)
    accuracies = read_nats_file(path)
    assert (accuracies.space, accuracies.source) == (SPACES[name], path.name)
    found = accuracies.read_all()
    assert set(found["source_digest"].to_pylist()) == {accuracies.digest}
    assert without_digest(found).equals(without_digest(read_nats(fixture / name).read_all()))


def test_many_batches(content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_nats(tmp_path, SSS, content)
    whole_table = read_nats_file(path).read_all()
    monkeypatch.setattr("naswot_ray.benchmarks.whole_file._ROWS_PER_BATCH", 10)
    accuracies = read_nats_file(path)
    assert pa.Table.from_batches(list(accuracies.batches)).equals(whole_table)


def test_the_order_of_the_content_does_not_matter(content: dict[str, Any], tmp_path: Path) -> None:
    path = save_nats(tmp_path, SSS, content)
    reverse = save_nats(tmp_path, SSS, dict(reversed(content.items())))
    assert path != reverse
    assert without_digest(read_nats_file(reverse).read_all()).equals(without_digest(read_nats_file(path).read_all()))


def test_protocols_that_fill_dictionaries_item_by_item(content: dict[str, Any], tmp_path: Path) -> None:
    expected = without_digest(read_nats_file(save_nats(tmp_path, SSS, content)).read_all())
    for protocol in (2, 3, 5):
        path = tmp_path / f"NATS-sss-{protocol}.pickle.pbz2"
        path.write_bytes(bz2.compress(pickle.dumps(content, protocol=protocol)))
        assert without_digest(read_nats_file(path).read_all()).equals(expected)


def test_progress_counts_packed_bytes(content: dict[str, Any], tmp_path: Path) -> None:
    path = save_nats(tmp_path, SSS, content)
    calls: list[tuple[int, int]] = []
    read_nats_file(path, lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls)
    assert calls[-1] == (path.stat().st_size, path.stat().st_size)


def test_read_accuracies_takes_the_file(content: dict[str, Any], tmp_path: Path) -> None:
    path = save_nats(tmp_path, SSS, content)
    assert read_accuracies("nats_sss", path).read_all().equals(read_nats_file(path).read_all())
    with pytest.raises(BenchmarkError, match="holds accuracies of nats_sss, not of nasbench201"):
        read_accuracies("nasbench201", path)
    with pytest.raises(SettingsError, match="--map is for tables"):
        read_accuracies("nats_sss", path, ["cifar10/test/90=x"])
    with pytest.raises(BenchmarkError, match="expected a name that begins with NATS-tss or NATS-sss"):
        read_accuracies("nats_sss", path.rename(tmp_path / "mine.pickle.pbz2"))


def test_the_md5_has_to_be_that_of_the_name(content: dict[str, Any], tmp_path: Path) -> None:
    path = save_nats(tmp_path, SSS, content)
    other = path.rename(tmp_path / "NATS-sss-v1_0-50262.pickle.pbz2")
    refuses(other, "its MD5 is", "50262", "download it again")
    read_nats_file(other.rename(tmp_path / "NATS-sss-mine.pickle.pbz2"))


def test_truncated_anywhere(content: dict[str, Any], tmp_path: Path) -> None:
    """The test also uses a name that agrees with the content, and content that was cut off before it was packed."""
    intact = save_nats(tmp_path, SSS, content)
    packed = intact.read_bytes()
    pickled = bz2.decompress(packed)
    path = tmp_path / intact.name
    for eighth in range(8):
        path.write_bytes(packed[: len(packed) * eighth // 8])
        refuses(path, "its MD5 is")
        refuses(rename_by_md5(path), "is damaged or not nats_sss's file", "download it again")
        path.write_bytes(bz2.compress(pickled[: len(pickled) * eighth // 8]))
        refuses(rename_by_md5(path), "is damaged or not nats_sss's file", "download it again")
    path.write_bytes(packed[:-1])
    refuses(rename_by_md5(path))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@example(place=3.5 / 34000, bit=0)  # the block size; a small file needs little
def test_a_flipped_bit_is_noticed_or_changes_nothing(nats: Path, tmp_path: Path, place: float, bit: int) -> None:
    """The name has no digits of the MD5, so only bzip2's own checksums can detect the damage."""
    intact = tmp_path / "intact"
    if not intact.exists():
        results = real_results(nats / SSS, [0])
        save_nats(tmp_path, SSS, whole("nats_sss", results)).rename(intact)
    data = bytearray(intact.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path = tmp_path / "NATS-sss-flipped.pickle.pbz2"
    path.write_bytes(data)
    try:
        found = read_nats_file(path).read_all()
    except BenchmarkError as error:
        assert str(path) in str(error)  # noqa: PT017
        return
    path.write_bytes(intact.read_bytes())
    assert without_digest(found).equals(without_digest(read_nats_file(path).read_all()))


@pytest.mark.parametrize("place", [0.0, 0.3, 0.7, 0.999999])
def test_a_flipped_bit_is_not_what_the_name_says(content: dict[str, Any], tmp_path: Path, place: float) -> None:
    path = save_nats(tmp_path, SSS, content)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)
    refuses(path, "its MD5 is")


def test_a_flipped_bit_of_the_last_checksum(content: dict[str, Any], tmp_path: Path) -> None:
    path = save_nats(tmp_path, SSS, content)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    refuses(rename_by_md5(path), "is damaged")


def test_something_behind_the_results(content: dict[str, Any], tmp_path: Path) -> None:
    path = save_nats(tmp_path, SSS, content)
    path.write_bytes(path.read_bytes() + bz2.compress(b"x"))
    refuses(rename_by_md5(path), "expected nothing behind its results")


def test_a_file_that_lacks_what_it_announces(content: dict[str, Any], tmp_path: Path) -> None:
    content["evaluated_indexes"] = {0, 11, 284}
    refuses(save_nats(tmp_path, SSS, content), "its 'evaluated_indexes' are not the 2 architectures")
    content["evaluated_indexes"] = {0, 11}
    content["arch2infos"][284] = {}
    refuses(save_nats(tmp_path, SSS, content), "its 'arch2infos' are not the 2 architectures")


def test_an_architecture_twice(content: dict[str, Any], tmp_path: Path) -> None:
    content["arch2infos"][12] = pickle.loads(pickle.dumps(content["arch2infos"][11]))
    refuses(save_nats(tmp_path, SSS, content), "twice")


def test_an_architecture_of_another_number(content: dict[str, Any], tmp_path: Path) -> None:
    for state in content["arch2infos"][11].values():
        state["arch_index"] = 12
    refuses(save_nats(tmp_path, SSS, content), "holds '8:8:8:16:32', its number 12 belongs to '8:8:8:16:40'")
    for state in content["arch2infos"][11].values():
        state["arch_index"] = 32768
    refuses(save_nats(tmp_path, SSS, content), "number 32768 is not one of the 32768 architectures of nats_sss")


CONTENTS: dict[str, Any] = {
    "a list": [],
    "an empty dictionary": {},
    "no results": {"meta_archs": list(get_space("nats_sss")), "arch2infos": {}, "evaluated_indexes": set()},
    "the meta file": {"meta_archs": list(get_space("nats_sss")), "arch2infos": None, "evaluated_indexes": set()},
    "results of nothing": {"x": {"y": {"all_results": 1}}},
}


@pytest.mark.parametrize("other", CONTENTS.values(), ids=list(CONTENTS))
def test_a_file_of_other_content(tmp_path: Path, other: Any) -> None:
    refuses(save_nats(tmp_path, SSS, other))


@pytest.mark.parametrize("meta_archs", [None, [1, [2]], ["8:8:8:8:8"]])
def test_architectures_of_another_space(content: dict[str, Any], tmp_path: Path, meta_archs: Any) -> None:
    content["meta_archs"] = meta_archs
    refuses(save_nats(tmp_path, SSS, content), "its 'meta_archs' are not the architectures of nats_sss")


@pytest.mark.parametrize("key", ["extra", "meta_archs"])
def test_a_malicious_pickle_is_not_run(content: dict[str, Any], tmp_path: Path, key: str) -> None:
    marker = tmp_path / "was-here"
    path = save_nats(tmp_path, SSS, content | {key: Bomb(marker)})
    assert "system, which plain data does not need" in refuses(path)
    assert not marker.exists()
    with contextlib.suppress(Exception):  # without the check, the planted code does run
        NATSsize(str(path), fast_mode=False, verbose=False)
    assert marker.exists()


def test_a_file_that_unpacks_to_more_than_any(content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_nats(tmp_path, SSS, content)
    monkeypatch.setattr("naswot_ray.benchmarks.nats._MAX_WHOLE_BYTES", 1 << 16)
    refuses(path, "unpacks to more than such a file has")
