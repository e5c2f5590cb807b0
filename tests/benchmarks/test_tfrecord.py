"""TFRecord frames are read back as they were written, and damage anywhere is noticed."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naswot_ray.benchmarks.tfrecord import read_records
from naswot_ray.errors import BenchmarkError
from tests.benchmarks.nasbench101_files import crc32c, frame, masked
from tests.benchmarks.refusing import refusal

RECORDS = [b"first", b"", bytes(range(256)), b"last"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "t.tfrecord"
    path.write_bytes(b"".join(map(frame, RECORDS)))
    return path


def read(path: Path, max_length: int = 1000) -> list[bytes]:
    return [data for _, data in read_records(path, max_length=max_length)]


def refuses(path: Path, *named: str) -> None:
    refusal(lambda: read(path), path, *named)


def test_the_test_knows_crc_32c() -> None:
    """The vectors of RFC 3720, appendix B.4, and the check value of the polynomial. A mask is a rotation and a sum."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"123456789") == 0xE3069283
    assert masked(0) == 0xA282EAD8
    assert masked(1) == 0xA282EAD8 + 2**17
    assert masked(2**15) == 0xA282EAD9


def test_records_come_back_with_their_offsets(path: Path) -> None:
    assert list(read_records(path, max_length=256)) == [(0, b"first"), (21, b""), (37, bytes(range(256))), (309, b"last")]


def test_an_empty_file_has_no_records(path: Path) -> None:
    path.write_bytes(b"")
    assert read(path) == []


def test_progress_is_told_in_bytes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("naswot_ray.benchmarks.tfrecord._RECORDS_PER_REPORT", 2)
    told: list[tuple[int, int]] = []
    list(read_records(path, max_length=1000, progress=lambda done, total: told.append((done, total))))
    assert told == [(37, 329), (329, 329), (329, 329)]


def test_records_are_given_before_later_damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    records = read_records(path, max_length=1000)
    assert [next(records)[1] for _ in range(3)] == RECORDS[:3]
    with pytest.raises(BenchmarkError, match="record 3 at byte 309 is cut off"):
        next(records)


@pytest.mark.parametrize("length", [257, 2**31, 2**60, 2**64 - 1])
def test_a_length_that_is_absurd(path: Path, length: int) -> None:
    """The length may have a correct checksum, but the reader must not allocate that much memory."""
    header = struct.pack("<Q", length)
    path.write_bytes(frame(b"first") + header + struct.pack("<I", masked(crc32c(header))) + bytes(50))
    with pytest.raises(BenchmarkError, match=f"record 1 at byte 21 has {length} bytes where at most 256 were expected"):
        read(path, max_length=256)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"x" * 100, bytes(100), b"\x1f\x8b\x08" + bytes(30)])
def test_a_file_of_another_kind(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refuses(path, "record 0 at byte 0", "no TFRecord file")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    refuses(tmp_path / "none.tfrecord", "No such file")
    refuses(tmp_path, "it is a folder, expected a regular file")


WHOLE = b"".join(map(frame, RECORDS))


@settings(max_examples=400, deadline=None)
@given(place=st.integers(0, len(WHOLE) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.tfrecord"
    data = bytearray(WHOLE)
    data[place] ^= 1 << bit
    path.write_bytes(data)
    refuses(path)


@given(end=st.integers(0, len(WHOLE)))
def test_a_truncated_file_is_refused_or_ends_between_records(tmp_path_factory: pytest.TempPathFactory, end: int) -> None:
    path = tmp_path_factory.getbasetemp() / "truncated.tfrecord"
    path.write_bytes(WHOLE[:end])
    borders = {0: 0, 21: 1, 37: 2, 309: 3, 329: 4}
    if end in borders:
        assert read(path) == RECORDS[: borders[end]]
    else:
        refuses(path, "is cut off")


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_any_records_come_back(tmp_path_factory: pytest.TempPathFactory, records: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.tfrecord"
    path.write_bytes(b"".join(map(frame, records)))
    assert read(path) == records


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.tfrecord"
    path.write_bytes(data)
    if data:
        refuses(path, "record 0 at byte 0")
