"""The records of NDS' own file: their order and keys, and files that are broken."""

from __future__ import annotations

import copy
import hashlib
import json
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naswot_ray.errors import BenchmarkError
from naswot_ray.spaces import nds_file
from naswot_ray.spaces.nds_file import NdsRecord, arch_id_of, read_records
from tests.spaces.nds_files import ANYNET, CELL_NET, nds_record, write_nds_json, write_nds_zip

RECORDS = [nds_record(CELL_NET, seed=3), nds_record({**CELL_NET, "width": 20}), nds_record(CELL_NET)]


def refuses(path: Path, *named: str, family: str = "DARTS") -> str:
    with pytest.raises(BenchmarkError) as caught:
        read_records(path, family)
    message = str(caught.value)
    for name in (str(path), *named):
        assert name in message
    assert "\n" not in message
    return message


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("nds") / "data.zip"
    return write_nds_zip(path, {"ENAS": RECORDS[:1], "DARTS": RECORDS, "DARTS_in": RECORDS[1:]}).read_bytes()


@pytest.fixture
def path(tmp_path: Path, archive: bytes) -> Path:
    """The archive, which a test may damage."""
    (tmp_path / "data.zip").write_bytes(archive)
    return tmp_path / "data.zip"


def test_records_keep_their_order_and_content(path: Path) -> None:
    records = read_records(path, "DARTS")
    assert [record.index for record in records] == [0, 1, 2]
    assert [record.net for record in records] == [record["net"] for record in RECORDS]
    assert [record.training["rng_seed"] for record in records] == [3, 1, 1]
    for record in records:
        assert record.training["test_ep_top1"] == [60.0, 20.0, 7.45]
        assert record.training["optim"]["wd"] == 0.0005
        assert (record.training["params"], record.training["flops"]) == (470_314, 69_251_072)


def test_an_arch_id_is_the_position_and_a_digest_of_the_network(path: Path) -> None:
    first, second, third = (record.arch_id for record in read_records(path, "DARTS"))
    text = '{"a":[1,2.5,1e-05],"b":"\\u00e9","c":null}'
    assert (
        arch_id_of(7, {"c": None, "b": "é", "a": [1, 2.5, 0.00001]})
        == f"00007-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    )
    assert first == arch_id_of(0, CELL_NET)
    assert (first[:6], second[:6], third[:6]) == ("00000-", "00001-", "00002-")
    assert first[6:] == third[6:] != second[6:]
    assert arch_id_of(123_456, CELL_NET).startswith("123456-")


def test_an_arch_id_is_the_same_everywhere() -> None:
    """The id is a key in datasets, so this value must never change."""
    assert arch_id_of(0, CELL_NET) == "00000-7d76f6633611"
    assert arch_id_of(41, ANYNET) == "00041-8243264450ba"


@pytest.mark.parametrize("prefix", ["", "nds_data/", "data/nds/"])
def test_the_folder_in_the_archive_does_not_matter(tmp_path: Path, prefix: str) -> None:
    path = write_nds_zip(tmp_path / "data.zip", {"DARTS": RECORDS}, prefix=prefix)
    assert len(read_records(path, "DARTS")) == 3


def test_archive_and_json_file_give_the_same(path: Path) -> None:
    assert read_records(path, "DARTS") == read_records(write_nds_json(path.parent, "DARTS", RECORDS), "DARTS")


def test_top_and_mid_are_joined_in_this_order(tmp_path: Path) -> None:
    path = write_nds_json(tmp_path, "ResNet_reruns", {"mid": RECORDS[1:], "top": RECORDS[:1]})
    joined = write_nds_json(tmp_path, "DARTS", RECORDS)
    assert read_records(path, "ResNet_reruns") == read_records(joined, "DARTS")


def test_curves_that_nobody_needs_are_not_kept(path: Path) -> None:
    assert set(read_records(path, "DARTS")[0].training) == {"optim", "rng_seed", "test_ep_top1", "params", "flops"}


@pytest.mark.parametrize("name", ["ENAS.json", "darts.json", "DARTS.JSON", "DARTS.txt", "DARTS"])
def test_a_file_of_another_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(RECORDS))
    refuses(tmp_path / name, "expected data.zip or DARTS.json")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    refuses(tmp_path / "data.zip", "No such file")
    refuses(tmp_path / "DARTS.json", "No such file")


def test_a_family_that_the_archive_lacks(path: Path) -> None:
    refuses(path, "expected one PNAS.json, found none", family="PNAS")


def test_a_family_that_is_twice_in_the_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/DARTS.json", "[]")
    refuses(path, "nds_data/DARTS.json", "other/DARTS.json")


def test_the_same_member_twice(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("nds_data/DARTS.json", "[]")
    refuses(path, "expected one DARTS.json")


def test_what_macos_adds_is_not_a_family(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/nds_data/._DARTS.json", b"\x00\x05\x16\x07")
    assert len(read_records(path, "DARTS")) == 3


@pytest.mark.parametrize("name", ["/etc/DARTS.json", "../DARTS.json", "nds_data/../../x", "..\\x.json", "/x"])
def test_members_that_lead_outside(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "[]")
    refuses(path, "leads outside of the archive")


def in_directory(data: bytes, offset: int, value: bytes) -> bytes:
    """The archive, with one field of DARTS.json's entry in the central directory set to another value."""
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"nds_data/DARTS.json"))
    return data[: entry + offset] + value + data[entry + offset + len(value) :]


def test_an_encrypted_member(path: Path, archive: bytes) -> None:
    path.write_bytes(in_directory(archive, 8, struct.pack("<H", 1)))
    refuses(path, "nds_data/DARTS.json is encrypted")


def test_a_member_that_would_be_too_large(path: Path, archive: bytes) -> None:
    path.write_bytes(in_directory(archive, 24, struct.pack("<I", 2**32 - 2)))
    refuses(path, "nds_data/DARTS.json has 4294967294 bytes unpacked")


def test_a_member_larger_than_it_says(path: Path, archive: bytes) -> None:
    path.write_bytes(in_directory(archive, 24, struct.pack("<I", 10)))
    refuses(path, "damaged")


def test_an_unknown_compression(path: Path, archive: bytes) -> None:
    path.write_bytes(in_directory(archive, 10, struct.pack("<H", 98)))
    refuses(path, "damaged")


def test_a_json_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_nds_json(tmp_path, "DARTS", RECORDS)
    monkeypatch.setattr(nds_file, "_MAX_BYTES", 100)
    refuses(path, "expected at most 100")


def test_no_archive(path: Path) -> None:
    path.write_bytes(b"nothing of the kind")
    refuses(path, "not the archive of NDS")


CONTENTS: dict[str, tuple[str, str]] = {
    "nothing": ("", "no JSON"),
    "no JSON": ("[{", "no JSON"),
    "a number": ("1", "expected a list of records"),
    "an empty list": ("[]", "expected a list of records"),
    "an empty object": ("{}", "expected a list of records"),
    "only top": ('{"top": [{}]}', "expected a list of records"),
    "top and mid that are no lists": ('{"top": {}, "mid": {}}', "expected a list of records"),
    "numbers": ("[1, 2]", "record 0: expected an object with a 'net'"),
    "no net": ('[{"optim": {}}]', "record 0: expected an object with a 'net'"),
    "a net that is none": ('[{"net": [1]}]', "record 0: expected an object with a 'net'"),
    "an empty net": ('[{"net": {}}]', "record 0: its 'net' lacks block_type, ds, ws, ss"),
    "a genotype that is none": (
        '[{"net": {"genotype": "x", "width": 1, "depth": 1}}]',
        "record 0: expected a genotype of normal",
    ),
    "an empty genotype": (
        '[{"net": {"genotype": {}, "width": 1}}]',
        "lacks depth, normal, normal_concat, reduce, reduce_concat",
    ),
    "a key twice": ('[{"net": {"ds": [1], "ws": [1], "ds": [2]}}]', "key 'ds' occurs twice"),
    "deeper than Python goes": ("[" * 100_000, "no JSON"),
    "a number of many digits": ("9" * 5000, "no JSON"),
}


@pytest.mark.parametrize(("text", "message"), CONTENTS.values(), ids=list(CONTENTS))
def test_other_content(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "DARTS.json").write_text(text)
    refuses(tmp_path / "DARTS.json", message)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("nds_data/DARTS.json", text)
    refuses(tmp_path / "data.zip", "DARTS.json", message)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "DARTS.json").write_bytes(b'["\xff"]')
    refuses(tmp_path / "DARTS.json", "cannot be read")
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("DARTS.json", b'["\xff"]')
    refuses(tmp_path / "data.zip", "damaged")


@pytest.mark.parametrize("key", ["genotype", "width", "depth", "block_type", "ds", "ws", "ss"])
def test_a_network_without_what_it_needs(tmp_path: Path, key: str) -> None:
    net: dict[str, Any] = dict(CELL_NET if key in CELL_NET else ANYNET)
    del net[key]
    refuses(write_nds_json(tmp_path, "DARTS", [RECORDS[0], nds_record(net)]), "record 1: its 'net' lacks")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_with_a_number_that_is_none(tmp_path: Path, value: float) -> None:
    refuses(
        write_nds_json(tmp_path, "DARTS", [nds_record({**CELL_NET, "width": value})]), "record 0: its 'net' has a number that"
    )


def read_or_refuse(path: Path) -> list[NdsRecord] | None:
    try:
        return read_records(path, "DARTS")
    except BenchmarkError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return None


@settings(max_examples=300, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_never_changes_the_records(
    tmp_path_factory: pytest.TempPathFactory, archive: bytes, place: float, bit: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "data.zip"
    data = bytearray(archive)
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    found = read_or_refuse(path)
    assert found is None or [record.net for record in found] == [record["net"] for record in RECORDS]


@settings(max_examples=100, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True))
def test_a_truncated_archive_is_refused(tmp_path_factory: pytest.TempPathFactory, archive: bytes, place: float) -> None:
    path = tmp_path_factory.getbasetemp() / "data.zip"
    path.write_bytes(archive[: int(place * len(archive))])
    assert read_or_refuse(path) is None


@settings(max_examples=100, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True))
def test_a_truncated_json_file_is_refused(tmp_path_factory: pytest.TempPathFactory, place: float) -> None:
    path = write_nds_json(tmp_path_factory.getbasetemp(), "DARTS", RECORDS)
    text = path.read_text()
    path.write_text(text[: int(place * len(text))])
    assert read_or_refuse(path) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["net", "top", "mid", "genotype", "ds"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(content=JSON)
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    path = write_nds_json(tmp_path_factory.getbasetemp(), "DARTS", copy.deepcopy(content))
    read_or_refuse(path)
