"""New rows are merged into a part, and a part is trusted only after it has been verified."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from naswot_ray.dataset import layout, part_footer, part_state
from naswot_ray.dataset.part_state import PartState, UntrustedPartError
from naswot_ray.dataset.storage import Storage
from naswot_ray.measures import DEFAULT_MEASURES
from tests.dataset.making import (
    SPACE,
    TABLES,
    Row,
    architecture_row,
    expected,
    failed_row,
    rewrite,
    score_row,
    settings,
    snapshot,
    write_part,
)

PATH = layout.scores(SPACE, "noise", 4, 0, 1)
FULL = range(4, 8)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


def write(storage: Storage, rows: Sequence[Row]) -> None:
    write_part(storage, PATH, rows)


def read(storage: Storage) -> list[Row]:
    with storage.open_parquet(PATH) as file:
        found: list[Row] = file.read().to_pylist()
    return found


def inspect(storage: Storage) -> PartState:
    return part_state.inspect(storage, expected(PATH, FULL))


def state(present: Collection[int], failed: Collection[int] = ()) -> PartState:
    """The measures in the footer of a part whose rows have the default measures."""
    return PartState(present, frozenset(failed), dict.fromkeys(DEFAULT_MEASURES, frozenset()))


def num_failed(storage: Storage) -> int:
    return int(pq.read_schema(storage.path(PATH)).metadata[b"naswot_ray.num_failed"])


def test_a_part_keeps_what_it_is_given(storage: Storage) -> None:
    rows = [score_row(i) for i in FULL]
    write(storage, rows)
    assert read(storage) == rows


def test_rows_are_sorted_by_index(storage: Storage) -> None:
    write(storage, [score_row(i) for i in (7, 5, 4, 6)])
    assert [row["arch_index"] for row in read(storage)] == [4, 5, 6, 7]


def test_new_rows_join_those_that_are_there(storage: Storage) -> None:
    write(storage, [score_row(6), score_row(5)])
    write(storage, [score_row(4), score_row(7)])
    assert read(storage) == [score_row(i) for i in FULL]


def test_rows_of_the_same_architecture_are_replaced(storage: Storage) -> None:
    write(storage, [score_row(4), failed_row(5), score_row(6)])
    assert num_failed(storage) == 1
    write(storage, [score_row(5, naswot=1.5), score_row(7)])
    assert read(storage) == [score_row(4), score_row(5, naswot=1.5), score_row(6), score_row(7)]
    assert num_failed(storage) == 0


def test_the_file_is_the_same_in_however_many_steps_it_was_written(tmp_path: Path) -> None:
    one, two = Storage(tmp_path / "1"), Storage(tmp_path / "2")
    write(one, [score_row(i) for i in FULL])
    for i in (6, 4, 7, 5):
        write(two, [score_row(i)])
    assert snapshot(one.root) == snapshot(two.root)


@given(st.lists(st.lists(st.tuples(st.sampled_from(FULL), st.booleans()), min_size=1, max_size=4, unique_by=lambda t: t[0])))
@hypothesis_settings(max_examples=20, deadline=None)
def test_whatever_is_written_the_first_score_of_each_architecture_stays(
    tmp_path_factory: pytest.TempPathFactory, writes: list[list[tuple[int, bool]]]
) -> None:
    storage, kept = Storage(tmp_path_factory.mktemp("p")), dict[int, Row]()
    for number, chosen in enumerate(writes):
        rows = [failed_row(i, run_id=str(number)) if failed else score_row(i, run_id=str(number)) for i, failed in chosen]
        write(storage, rows)
        scored = {i for i, row in kept.items() if row["status"] != "failed"}
        kept |= {row["arch_index"]: row for row in rows if row["arch_index"] not in scored}
    if not writes:
        return
    assert read(storage) == [kept[i] for i in sorted(kept)]
    failed = frozenset(i for i, row in kept.items() if row["status"] == "failed")
    found = inspect(storage)
    assert (found.present, found.failed) == (FULL if len(kept) == len(FULL) else frozenset(kept), failed)
    assert num_failed(storage) == len(failed)


def test_a_complete_part(storage: Storage) -> None:
    write(storage, [score_row(i) for i in FULL])
    assert inspect(storage) == state(FULL)


def test_a_partial_part(storage: Storage) -> None:
    write(storage, [score_row(5), score_row(7)])
    assert inspect(storage) == state(frozenset({5, 7}))


def test_failed_rows_are_present_and_failed(storage: Storage) -> None:
    write(storage, [failed_row(4), score_row(5), score_row(6, naswot=float("-inf"), status="singular"), failed_row(7)])
    assert inspect(storage) == state(FULL, {4, 7})


def test_a_failed_row_does_not_replace_a_score(storage: Storage) -> None:
    write(storage, [score_row(4), score_row(5)])
    write(storage, [failed_row(5), failed_row(6)])
    assert read(storage) == [score_row(4), score_row(5), failed_row(6)]
    assert inspect(storage) == state(frozenset({4, 5, 6}), {6})


def test_the_footer_tells_failures_and_settings(storage: Storage) -> None:
    write(storage, [score_row(4), failed_row(5)])
    metadata = pq.read_schema(storage.path(PATH)).metadata
    assert metadata[part_footer.NUM_FAILED_KEY] == b"1"
    assert metadata[part_footer.FINGERPRINT_KEY].decode() == settings().fingerprint_of(SPACE, "noise")


def test_architecture_parts_work_alike(storage: Storage) -> None:
    path = layout.architectures(SPACE, 1)
    write_part(storage, path, [architecture_row(4), architecture_row(5) | {"status": "failed"}])
    assert part_state.inspect(storage, expected(path, FULL)) == PartState(frozenset({4, 5}), frozenset({5}))


def as_table(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=TABLES["scores"])


FOREIGN: dict[str, list[int]] = {
    "one row twice, partial": [5, 5],
    "rows of the part before": [0, 1, 2, 3],
    "one row of the part after": [5, 6, 7, 8],
    "too many rows": [4, 5, 6, 7, 8],
    "rows of the part before, partial": [2, 3],
}


SEALED = {"naswot_ray.fingerprint": settings().fingerprint_of(SPACE, "noise")}


def refuses(storage: Storage, reason: str) -> None:
    """The part is refused with an error that names it, and is set aside when rows are to be merged with it."""
    before = Path(storage.path(PATH)).read_bytes()
    with pytest.raises(UntrustedPartError, match=reason) as caught:
        inspect(storage)
    assert str(caught.value).startswith(storage.path(PATH))
    assert "`naswot-ray check" in str(caught.value)
    assert "\n" not in str(caught.value)
    write(storage, [score_row(4)])
    assert read(storage) == [score_row(4)]
    (note,) = storage.take_notes()
    assert note.startswith(f"{PATH} {caught.value.reason}: moved to removed/")
    (kept,) = (Path(storage.root) / "removed").rglob(PATH.name)
    assert kept.read_bytes() == before
    (record,) = (Path(storage.root) / "removed").rglob("record.json")
    told = json.loads(record.read_text())
    assert told["by"] == "run"
    assert told["files"] == [
        {
            "path": str(PATH),
            "reason": caught.value.reason,
            "size": len(before),
            "sha256": hashlib.sha256(before).hexdigest(),
        }
    ]


@pytest.mark.parametrize("indices", FOREIGN.values(), ids=list(FOREIGN))
@pytest.mark.parametrize("num_failed", [{}, {"naswot_ray.num_failed": "0"}], ids=["not told", "no failures told"])
def test_rows_that_do_not_belong_here_are_refused(storage: Storage, indices: list[int], num_failed: dict[str, str]) -> None:
    storage.write_table(PATH, as_table([score_row(i) for i in indices]).replace_schema_metadata(SEALED | num_failed))
    refuses(storage, r"rows that do not belong to it \(expected arch_index 4\.\.7")


def test_as_many_rows_as_expected_but_one_of_them_twice_are_refused(storage: Storage) -> None:
    storage.write_table(PATH, as_table([score_row(i) for i in (4, 5, 5, 6)]).replace_schema_metadata(SEALED))
    refuses(storage, r"rows that do not belong to it \(expected arch_index 4\.\.7")


@pytest.mark.parametrize("key", ["images", "batch_size", "seed"])
def test_rows_of_another_point_are_refused(storage: Storage, key: str) -> None:
    changed = {"images": "cifar10", "batch_size": 5, "seed": 1}[key]
    write(storage, [score_row(i) | {key: changed} for i in FULL])
    refuses(storage, "do not belong")


def test_a_part_of_another_table_is_refused(storage: Storage) -> None:
    storage.write_table(PATH, pa.table({"a": [1, 2]}))
    refuses(storage, "has other columns")


def test_a_part_of_other_settings_is_refused(storage: Storage) -> None:
    write(storage, [score_row(5)])
    rewrite(Path(storage.path(PATH)), lambda table: table, **{"naswot_ray.fingerprint": "f" * 64})
    refuses(storage, "was written under other settings")


def test_a_part_of_another_program_is_refused(storage: Storage) -> None:
    write(storage, [score_row(5)])
    pq.write_table(pq.read_table(storage.path(PATH)).replace_schema_metadata(SEALED), storage.path(PATH))
    refuses(storage, "has no seal")


def test_a_copy_of_another_part_is_refused(storage: Storage) -> None:
    other = layout.scores(SPACE, "noise", 4, 0, 2)
    write_part(storage, other, [score_row(8)])
    shutil.copy(storage.path(other), storage.path(PATH))
    refuses(storage, f"is a copy of {other}")


def damages(whole: bytes) -> dict[str, bytes]:
    """Several ways in which a file stops being Parquet."""
    cuts = {f"cut at {n}": whole[:n] for n in (0, 1, 4, 12, len(whole) // 2, len(whole) - 8, len(whole) - 4, len(whole) - 1)}
    return cuts | {
        "zeros": bytes(len(whole)),
        "random": random.Random(0).randbytes(1000),
        "random between the marks": b"PAR1" + random.Random(1).randbytes(1000) + b"PAR1",
        "text": b"<html>404 Not Found</html>\n" * 20,
        "begins again": whole[: len(whole) // 2] + whole[: len(whole) // 2],
        "footer zeroed": whole[:-300] + bytes(292) + whole[-8:],
    }


@pytest.mark.parametrize("kind", damages(bytes(1000)))
def test_damaged_parts_are_refused(storage: Storage, kind: str) -> None:
    write(storage, [score_row(i) for i in FULL])
    file = Path(storage.path(PATH))
    # the cut points are fractions of the length, so the names are the same except for the number
    names = list(damages(bytes(1000)))
    file.write_bytes(list(damages(file.read_bytes()).values())[names.index(kind)])
    refuses(storage, "is not a whole Parquet file|has no seal|is damaged")
