"""Run records are read back, oldest first. A damaged one is named."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from naswot_ray.dataset import runs
from naswot_ray.dataset.runs import GridRecord, RunRecord
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError

RECORD = RunRecord(
    run_id="a",
    status="running",
    started=datetime(2026, 1, 2, tzinfo=UTC),
    updated=datetime(2026, 1, 2, tzinfo=UTC),
    grid=GridRecord(
        spaces=("nasbench201",), num_architectures=(15_625,), images="noise", batch_sizes=(4,), seeds=(0, 2**63 - 1), limit=8
    ),
    options={"output": "d", "limit": 8},
    fingerprint="f",
    versions={"torch": "2.11", "ray": None},
    hardware={"cpus": 2},
)


def test_records_come_back_oldest_first(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    older = RECORD.model_copy(update={"run_id": "b", "started": datetime(2026, 1, 1, tzinfo=UTC), "status": "finished"})
    runs.write(storage, RECORD)
    runs.write(storage, older)
    (tmp_path / "runs" / "notes.txt").write_text("")
    assert runs.read_all(storage) == [older, RECORD]


def test_a_record_is_replaced(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    runs.write(storage, RECORD)
    done = RECORD.model_copy(update={"status": "finished", "counts": {"rows": 8, "ok": 8}})
    runs.write(storage, done)
    assert runs.read_all(storage) == [done]


def test_no_runs(tmp_path: Path) -> None:
    assert runs.read_all(Storage(tmp_path)) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"run_id": "a"}', b"\xff", b"[" * 10**5, b'{"run_id": "\\ud800"}'])
def test_a_damaged_record_is_named(tmp_path: Path, content: bytes) -> None:
    storage = Storage(tmp_path)
    runs.write(storage, RECORD)
    (tmp_path / "runs" / "b.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"runs/b\.json is damaged .*; move it away") as caught:
        runs.read_all(storage)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"started": "2026-01-02T00:00:00"}, "started: Input should have timezone info, found '2026-01-02T00:00:00'"),
        ({"options": {"space_option": [5]}}, "options: space_option: expected a list of entries PARAMETER=VALUE"),
        ({"num_architectures": []}, "grid: expected a number of architectures for each of 1 spaces, found 0"),
        ({"num_architectures": [2**40]}, r"grid.num_architectures.0: .* less than or equal to 100000000, found 1099511627776"),
        ({"num_architectures": [-5]}, "grid.num_architectures.0: .* greater than or equal to 0, found -5"),
        ({"seeds": [0, 0]}, "grid: a space, a batch size, a seed or a measure is there twice"),
        ({"seeds": [2**63]}, "grid.seeds.0: .* less than 9223372036854775808, found 9223372036854775808"),
        ({"seeds": list(range(10**5 + 1))}, r"grid: 100,001 points \(spaces x batch sizes x seeds\), expected at most 100,000"),
        ({"batch_sizes": [-1]}, "grid.batch_sizes.0: .* greater than 0, found -1"),
        ({"sample": -3}, "grid.sample: .* greater than 0, found -3"),
    ],
)
def test_a_record_that_no_run_writes(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    content = json.loads(RECORD.model_dump_json())
    (content if change.keys() <= content.keys() else content["grid"]).update(change)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=rf"runs/a\.json is damaged \({reason}\); move it away$"):
        runs.read_all(Storage(tmp_path))


def test_an_unknown_status_is_no_record() -> None:
    with pytest.raises(ValidationError):
        RunRecord.model_validate(RECORD.model_dump() | {"status": "perhaps"})
