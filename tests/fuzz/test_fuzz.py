"""The first cases of the fuzzer; and what it calls a fault is one."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from naswot_ray.errors import DatasetError
from tests.fuzz import runner
from tests.fuzz.families import Family, families
from tests.fuzz.mutation import mutate
from tests.fuzz.runner import Fuzzer

FAMILIES = tuple(families())
NUM_CASES = 500
NUM_CASES_OF_DATASETS = 60
"""A case that opens a whole dataset takes 30 ms, one of the others 1 to 6 ms."""


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_damage_is_refused_in_one_line_or_does_no_harm(family: Family, tmp_path: Path) -> None:
    fuzzer = Fuzzer(family, tmp_path / "f", seed=0)
    num_cases = NUM_CASES_OF_DATASETS if family.name.endswith((": rows", ": check")) else NUM_CASES
    for number in range(num_cases):
        fuzzer.run_case(number)
    assert fuzzer.counts.faults == []
    assert fuzzer.counts.outcomes.total() == num_cases


def toy(read: object, *, is_sealed: bool = False) -> Family:
    def make(folder: Path) -> Path:
        (folder / "file").write_bytes(b"content")
        return folder / "file"

    return Family("toy", make, read, is_sealed=is_sealed)  # type: ignore[arg-type]


def read_strictly(path: Path) -> bytes:
    if path.read_bytes() != b"content":
        raise DatasetError(f"{path} is damaged")
    return b"content"


def read_with_a_defect(path: Path) -> str:
    return str({b"content": "content"}[path.read_bytes()])


def read_for_ever(path: Path) -> bytes:
    while path.read_bytes() != b"content":
        time.sleep(0.01)
    return b"content"


@pytest.mark.parametrize(
    ("family", "fault"),
    [
        (toy(read_strictly), None),
        (toy(Path.read_bytes), None),
        (toy(Path.read_bytes, is_sealed=True), "damage went unnoticed"),
        (toy(read_with_a_defect), "KeyError"),
        (toy(read_for_ever), "took more than"),
    ],
)
def test_what_counts_as_a_fault(family: Family, fault: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CASE_SECONDS", 0.2)
    fuzzer = Fuzzer(family, tmp_path / "f", seed=0)
    for number in range(5):
        fuzzer.run_case(number)
    assert bool(fuzzer.counts.faults) == (fault is not None)
    assert all(str(fault) in found for found in fuzzer.counts.faults)


def test_a_case_can_be_had_again() -> None:
    data = bytes(range(256)) * 4
    cases = [[mutate(data, random.Random(f"0 x {number}")) for number in range(200)] for _ in range(2)]
    assert cases[0] == cases[1]
    assert len(set(cases[0])) > 180, "each is another"
