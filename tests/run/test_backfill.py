"""If one more measure is asked for, only missing values are filled in, and existing ones do not change."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

import naswot_ray
from naswot_ray.console import print_run
from naswot_ray.dataset import layout, part_footer, part_state, parts
from naswot_ray.dataset.runs import RunRecord
from naswot_ray.dataset.storage import Storage
from naswot_ray.engines.exact import ExactEngine
from naswot_ray.errors import DatasetError, SettingsError
from naswot_ray.grid.grid import Batch, Point, Shard, Task
from naswot_ray.grid.rows import write_failed
from naswot_ray.measures import Measure, Statistic, all_measures, own_measures
from naswot_ray.network import Network
from tests.dataset.making import MEASURES, Written, expected, failed_row, make_dataset, score_row, settings, write_part
from tests.datasets import score_here

PART = layout.scores("nasbench201", "noise", 4, 0, 0)
SINGULAR_CELL = 12
"""The first cell of the space that scores -inf on the batch of `score`."""
OWN = ("naswot", "naswot_paper", "expressivity", "meco", "naswot_layerwise", "swap")


def score(root: Path, *measures: str, engine: str = "exact", **options: Any) -> RunRecord:
    return score_here(root, batch_size=[4], shard_size=8, measure=list(measures), engine=engine, **options)


def rows(root: Path, columns: Sequence[str] = ()) -> list[dict[str, Any]]:
    with naswot_ray.open(root).connect() as connection:
        names = ", ".join(columns) or "*"
        found = connection.sql(f"SELECT {names} FROM scores ORDER BY batch_size, seed, arch_index").to_arrow_table()
    listed: list[dict[str, Any]] = found.to_pylist()
    return listed


class CountingEngine:
    """Records what engine `exact` was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, frozenset[Statistic]]] = []
        run_forward = ExactEngine.run_forward

        def counted(engine: ExactEngine, network: Network, images: Any, weights: Any, wanted: Any) -> Any:
            self.calls.append((network.arch_id, frozenset(wanted)))
            return run_forward(engine, network, images, weights, wanted)

        monkeypatch.setattr(ExactEngine, "run_forward", counted)


def test_a_measure_more_costs_one_pass_and_changes_nothing_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(tmp_path / "d", "naswot", "naswot_paper", limit=10)
    before = rows(tmp_path / "d")
    counting = CountingEngine(monkeypatch)
    score(tmp_path / "d", "naswot", "meco", "swap", limit=10)
    assert [arch_id for arch_id, _ in counting.calls] == [row["arch_id"] for row in before]
    assert {wanted for _, wanted in counting.calls} == {frozenset({Statistic.SMALLEST_CORRELATIONS, Statistic.PATTERNS})}
    after = rows(tmp_path / "d")
    new = {"meco", "swap", "run_id", "seconds"}
    assert [{k: v for k, v in row.items() if k not in new} for row in after] == [
        {k: v for k, v in row.items() if k not in new} for row in before
    ]
    assert all(row["meco"] is not None and row["swap"] > 0 for row in after)
    assert all(new["seconds"] > old["seconds"] for new, old in zip(after, before, strict=True))
    assert len({row["run_id"] for row in after}) == 1
    assert after[0]["run_id"] != before[0]["run_id"]


def test_a_filled_dataset_is_one_that_was_scored_at_once(tmp_path: Path) -> None:
    for names in (["naswot"], ["meco"], ["swap", "naswot_paper"], ["all"]):
        score(tmp_path / "steps", *names, limit=10, seed=[0, 1])
    score(tmp_path / "once", "all", limit=10, seed=[0, 1])
    values = ("arch_id", "seed", *OWN, "num_units", "status", "error", "engine", "dtype", "device")
    assert rows(tmp_path / "steps", values) == rows(tmp_path / "once", values)


def test_there_is_nothing_to_do_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score(tmp_path / "d", "all", limit=3)
    counting = CountingEngine(monkeypatch)
    for names in (["all"], ["meco"], ["naswot", "swap"]):
        assert score(tmp_path / "d", *names, limit=3).counts["rows"] == 0
    assert counting.calls == []


def test_rows_that_lack_different_measures_get_just_these(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score(tmp_path / "d", "naswot", limit=2)
    score(tmp_path / "d", "naswot", "meco", limit=1)
    counting = CountingEngine(monkeypatch)
    score(tmp_path / "d", "naswot", "meco", limit=3)
    assert [sorted(wanted) for _, wanted in counting.calls] == [
        [Statistic.SMALLEST_CORRELATIONS],
        [Statistic.LOG_DETS, Statistic.SMALLEST_CORRELATIONS],
    ]


def test_a_row_that_another_engine_fills_names_both(tmp_path: Path) -> None:
    score(tmp_path / "d", "naswot", limit=2)
    score(tmp_path / "d", "naswot", "naswot_paper", limit=3, engine="fast")
    assert [row["engine"] for row in rows(tmp_path / "d")] == ["exact+fast", "exact+fast", "fast"]


def test_a_measure_that_fails_alone_says_why_and_is_done_again_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("naswot_ray.engines.activations.smallest_correlation", lambda x: float("nan"))
        record = score(tmp_path / "d", "naswot", "meco", limit=2)
    assert record.counts == {"rows": 2, "failed": 2}
    assert record.state is not None
    assert (record.state.present, record.state.failed) == (2, 2)
    for row in rows(tmp_path / "d"):
        assert row["naswot"] > 0
        assert (row["meco"], row["status"], row["error"]) == (None, "ok", "meco: ArithmeticError: the value is NaN")
    assert score(tmp_path / "d", "naswot", "meco", limit=2).counts["rows"] == 0
    assert score(tmp_path / "d", "naswot", "meco", limit=2, retry_failed=True).counts == {"rows": 2, "ok": 2}
    assert [(row["meco"] is not None, row["error"]) for row in rows(tmp_path / "d")] == [(True, None)] * 2


def test_an_architecture_that_fails_now_keeps_what_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score(tmp_path / "d", "naswot", limit=2)

    def fail(*arguments: Any) -> Any:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr(ExactEngine, "run_forward", fail)
        record = score(tmp_path / "d", "naswot", "meco", "swap", limit=2)
    assert record.counts == {"rows": 2, "failed": 2}
    assert record.state is not None
    assert (record.state.present, record.state.failed) == (2, 2)
    for row in rows(tmp_path / "d"):
        assert (row["naswot"] is not None, row["status"]) == (True, "ok")
        assert row["error"] == "meco: RuntimeError: out of luck\nswap: RuntimeError: out of luck"
    score(tmp_path / "d", "meco", "swap", limit=2, retry_failed=True)
    assert all(row["meco"] is not None and row["error"] is None for row in rows(tmp_path / "d"))


def test_a_measure_that_fails_alone_says_why_in_a_run_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name stands before the error once, although the new row has no other value."""
    score(tmp_path / "d", "naswot", limit=2)
    monkeypatch.setattr("naswot_ray.engines.activations.smallest_correlation", lambda x: float("nan"))
    score(tmp_path / "d", "meco", limit=2)
    assert [row["error"] for row in rows(tmp_path / "d")] == ["meco: ArithmeticError: the value is NaN"] * 2


def test_a_failed_row_becomes_one_with_values(tmp_path: Path) -> None:
    storage = make_dataset(tmp_path / "d", indices=[0]).storage
    write_part(storage, PART, [failed_row(1)])
    assert part_state.inspect(storage, expected(PART)).failed == {1}
    write_part(storage, PART, [score_row(1, meco=2.0)])
    state = part_state.inspect(storage, expected(PART))
    assert state.failed == frozenset()
    assert state.lacking["meco"] == frozenset({0})


def test_a_filled_row_is_counted_by_what_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its new value alone does not tell whether it is singular; an old error that nobody asked about is not this run's."""
    first = score(tmp_path / "d", "naswot", limit=SINGULAR_CELL + 1)
    assert first.counts == {"rows": SINGULAR_CELL + 1, "ok": SINGULAR_CELL, "singular": 1}
    with monkeypatch.context() as patch:
        patch.setattr("naswot_ray.engines.activations.smallest_correlation", lambda x: float("nan"))
        failing = score(tmp_path / "d", "meco", limit=SINGULAR_CELL + 1)
    # The ReLUs of the singular cell read zeros alone, which have no correlation that could fail.
    assert failing.counts == {"rows": SINGULAR_CELL + 1, "failed": SINGULAR_CELL, "singular": 1}
    filling = score(tmp_path / "d", "swap", limit=SINGULAR_CELL + 1)
    assert filling.counts == first.counts
    out = StringIO()
    print_run(Console(file=out, width=200), naswot_ray.open(tmp_path / "d"), filling)
    assert f"{SINGULAR_CELL + 1} rows scored in" in out.getvalue()
    assert "0 failed, 1 singular" in out.getvalue()


def test_a_failed_row_does_not_count_if_another_run_has_filled_it(tmp_path: Path) -> None:
    """No worker of this run survived it, but one of another run did."""
    make_dataset(tmp_path / "d", indices=range(4))
    space, shard = naswot_ray.get_space("nasbench201"), Shard(Point("nasbench201", Batch("noise", 4, 0)), 0, 0, 4)
    storage = Storage(tmp_path / "d")

    def outcome(*measures: str) -> Counter[str]:
        return write_failed(storage, space, Task(shard, (1,)), "it died", "run", settings(), measures)

    assert outcome("naswot") == {"ok": 1}
    assert outcome("naswot", "meco") == {"failed": 1}


def test_units_that_differ_are_told_and_nothing_is_filled(tmp_path: Path) -> None:
    storage = make_dataset(tmp_path / "d", indices=[0]).storage
    write_part(storage, PART, [score_row(0, meco=2.0, num_units=7)])
    (row,) = rows(tmp_path / "d")
    assert (row["meco"], row["num_units"]) == (None, 1000)
    assert row["error"] == "meco: ValueError: found 7 units, the row has 1000"


def test_two_runs_that_fill_different_measures_lose_nothing(tmp_path: Path) -> None:
    """Each read the part before the other one wrote it."""
    storage = make_dataset(tmp_path / "d", indices=range(4)).storage
    write_part(storage, PART, [score_row(i, naswot=None, naswot_paper=None, meco=float(i), run_id="b") for i in range(4)])
    write_part(storage, PART, [score_row(i, naswot=None, naswot_paper=None, swap=float(i), run_id="c") for i in range(4)])
    assert [(row["naswot"], row["meco"], row["swap"]) for row in rows(tmp_path / "d")] == [
        (100.0 + i, float(i), float(i)) for i in range(4)
    ]


def test_an_older_version_of_a_measure_is_not_taken_for_a_newer_one(tmp_path: Path) -> None:
    score(tmp_path / "d", "naswot", "meco", limit=2)
    storage = Storage(tmp_path / "d")
    newer = MEASURES | {"meco": 2}
    state = part_state.inspect(storage, expected_with(newer, tmp_path / "d"))
    assert state.needs(0, ["naswot", "meco"]) == ("meco",)
    assert state.needs(0, ["naswot"]) is None


def test_a_run_of_an_older_program_does_not_drop_newer_values(tmp_path: Path) -> None:
    storage = make_dataset(tmp_path / "d", indices=[0]).storage
    newer = replace(expected(PART), measures=MEASURES | {"meco": 2})
    parts.write(storage, newer, [Written(score_row(1, meco=2.0))], run_id="newer")
    before = Path(storage.path(PART)).read_bytes()
    with pytest.raises(DatasetError, match=r"holds version 2 of meco, this run computes version 1: another run"):
        parts.write(storage, expected(PART), [Written(score_row(2, meco=1.0))], run_id="older")
    assert Path(storage.path(PART)).read_bytes() == before


def expected_with(measures: dict[str, int], root: Path) -> part_state.Expected:
    settings = naswot_ray.open(root).manifest.settings
    return part_state.Expected(PART, range(8), settings.fingerprint_of("nasbench201", "noise"), measures)


def install_newer_meco(install: Callable[[dict[str, Measure], str, Measure], None]) -> None:
    """Give this program a `meco` that is of version 2, and twice as large."""
    meco = replace(all_measures()["meco"], version=2, take=lambda forward: 2 * float(forward.smallest_correlations.sum()))
    for known in (all_measures(), own_measures()):
        install(known, "meco", meco)


@pytest.fixture
def newer_meco(monkeypatch: pytest.MonkeyPatch) -> None:
    install_newer_meco(monkeypatch.setitem)


def test_a_newer_version_is_refused_unless_it_is_to_replace_the_older_one(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    score(tmp_path / "d", "naswot", "meco", limit=2, seed=[0, 1])
    before = rows(tmp_path / "d")
    request.getfixturevalue("newer_meco")
    score(tmp_path / "d", "naswot", limit=3)  # a run without this measure is not affected
    with pytest.raises(SettingsError, match=r"measures\.meco is 1 there, 2 in this run; .* with --replace-older"):
        score(tmp_path / "d", "meco", limit=2)
    assert [row["meco"] for row in rows(tmp_path / "d") if row["arch_index"] < 2] == [row["meco"] for row in before]


def test_replacing_a_version_leaves_none_of_the_older_one(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    score(tmp_path / "d", "naswot", "meco", limit=2, seed=[0, 1])
    score(tmp_path / "d", "meco", limit=3, seed=[2])
    before = rows(tmp_path / "d")
    request.getfixturevalue("newer_meco")
    score(tmp_path / "d", "meco", limit=2, replace_older=True)
    after = {(row["seed"], row["arch_index"]): row for row in rows(tmp_path / "d")}
    for row in before:
        key = row["seed"], row["arch_index"]
        if row["seed"] == 2:  # a row that had no other value
            assert key not in after
        else:
            assert after[key]["naswot"] == row["naswot"]
            assert after[key]["meco"] == (2 * row["meco"] if row["seed"] == 0 else None)
    assert len(list((tmp_path / "d" / "removed").rglob("*.parquet"))) == 3
    assert naswot_ray.open(tmp_path / "d").manifest.settings.measures["meco"] == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from naswot_ray.run import job
from tests.run.test_backfill import install_newer_meco, score
install_newer_meco(lambda known, name, value: known.__setitem__(name, value))
job.renew_parts = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)
score(Path(sys.argv[1]), "meco", limit=2, replace_older=True)
"""
"""A run that is killed after it has written the manifest, and before it has replaced any value."""


def test_a_run_after_a_killed_replacement_keeps_a_copy_of_what_it_drops(
    tmp_path: Path, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "d"
    score(root, "naswot", "meco", limit=2)
    score(root, "meco", limit=3)
    part = Path(Storage(root).path(PART))
    before, old_rows = part.read_bytes(), rows(root)
    command = [sys.executable, "-c", KILLED, str(root)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert naswot_ray.open(root).manifest.settings.measures["meco"] == 2
    assert part.read_bytes() == before
    request.getfixturevalue("newer_meco")
    score(root, "meco", limit=1)
    (copy,) = (root / "removed").rglob("*.parquet")
    assert copy.read_bytes() == before
    told = f"{PART} holds meco of an older version: these values are dropped; {copy.parents[1].relative_to(root)} holds a copy"
    assert told in capfd.readouterr().err
    # Row 0 was asked for, row 1 has another value left, row 2 has none.
    assert [(row["naswot"], row["meco"]) for row in rows(root)] == [
        (old_rows[0]["naswot"], 2 * old_rows[0]["meco"]),
        (old_rows[1]["naswot"], None),
    ]
    score(root, "meco", limit=3)
    assert [row["meco"] for row in rows(root)] == [2 * row["meco"] for row in old_rows]
    assert len(list((root / "removed").rglob("*.parquet"))) == 1


def test_errors_of_an_older_version_are_dropped_with_its_values(tmp_path: Path) -> None:
    """Row 0 keeps another value, row 1 has failed as a whole, row 2 has failed in the older version alone."""
    whole = failed_row(1)
    storage = make_dataset(tmp_path / "d", indices=[0], change=lambda row: {"error": "meco: ValueError: no"}).storage
    write_part(storage, PART, [whole, failed_row(2) | {"error": "meco: ValueError: no"}])
    parts.renew(storage, replace(expected(PART), measures=MEASURES | {"meco": 2}), run_id="newer")
    assert [(row["arch_index"], row["status"], row["error"]) for row in rows(tmp_path / "d")] == [
        (0, "ok", None),
        (1, "failed", whole["error"]),
    ]


def test_the_footer_tells_measures_and_versions(tmp_path: Path) -> None:
    score(tmp_path / "d", "naswot", limit=3)
    score(tmp_path / "d", "naswot", "meco", limit=2)
    metadata = pq.read_schema(Storage(tmp_path / "d").path(PART)).metadata
    assert metadata[part_footer.MEASURES_KEY] == b'{"naswot": [1, 0], "meco": [1, 1]}'


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ("meko", r"unknown measure 'meko'; there are: naswot, .*; did you mean meco\?"),
        ("", "unknown measure ''"),
    ],
)
def test_an_unknown_measure_is_refused_before_anything_is_written(tmp_path: Path, measure: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        score(tmp_path / "d", measure, limit=2)
    assert not (tmp_path / "d").exists()
