"""Receipts tell what parts hold, in few files; without them nothing is lost."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from naswot_ray.dataset import layout, receipts
from naswot_ray.dataset.parts import PartState, WrittenPart
from naswot_ray.dataset.receipts import ReceiptLog
from naswot_ray.dataset.storage import Storage

PART = layout.scores("nasbench201", "noise", 4, 0, 0)


def written(number: int, state: PartState | None = None, *, size: int = 100, path: PurePosixPath | None = None) -> WrittenPart:
    full = PartState(range(4 * number, 4 * number + 4))
    path = path or layout.scores("nasbench201", "noise", 4, 0, number)
    return WrittenPart(path, size, full if state is None else state)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    parts = [
        written(0),
        written(1, PartState(frozenset({4, 6}), frozenset({6}))),
        written(2, PartState(range(8, 12), frozenset({9, 11}))),
        written(0, path=layout.architectures("nasbench201", 0), size=7),
    ]
    log = ReceiptLog(storage, "20260101T000000-a")
    for part in parts:
        log.add(part)
    log.flush()
    assert list(receipts.read_all(storage).values()) == parts


def test_a_dataset_without_receipts_has_none(tmp_path: Path) -> None:
    assert receipts.read_all(Storage(tmp_path)) == {}


def test_the_last_one_of_a_part_counts(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    partial = written(0, PartState(frozenset({1})), size=50)
    for run_id, parts in (("20260101T000000-b", [partial]), ("20260101T000001-a", [written(0)])):
        log = ReceiptLog(storage, run_id)
        for part in parts:
            log.add(part)
        log.flush()
    assert receipts.read_all(storage)[PART] == written(0)
    log = ReceiptLog(storage, "20260101T000002-a")
    log.add(partial)
    log.add(written(0, size=60))
    log.flush()
    assert receipts.read_all(storage)[PART] == written(0, size=60)


def test_many_are_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "PARTS_PER_FILE", 10)
    storage = Storage(tmp_path)
    log = ReceiptLog(storage, "r")
    for number in range(25):
        log.add(written(number))
    assert len(storage.list_names(layout.RECEIPTS)) == 2
    log.flush()
    log.flush()
    assert len(storage.list_names(layout.RECEIPTS)) == 3
    assert len(receipts.read_all(storage)) == 25


def test_a_damaged_file_and_a_stranger_are_passed_over(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    log = ReceiptLog(storage, "r")
    log.add(written(0))
    log.flush()
    storage.write_bytes(layout.RECEIPTS / "s-000000.parquet", b"no parquet")
    storage.write_bytes(layout.RECEIPTS / "notes.txt", b"hello")
    assert list(receipts.read_all(storage)) == [PART]
