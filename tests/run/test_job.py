"""The whole job in this process: resume, extend, retry, refuse."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import naswot_ray
from naswot_ray.dataset import schema
from naswot_ray.dataset.storage import Storage
from naswot_ray.engines.fast.engine import FastEngine
from naswot_ray.errors import NaswotError, SettingsError
from naswot_ray.grid.grid import Batch, Point, Shard, Task
from naswot_ray.measures import ForwardPass
from naswot_ray.run import worker
from naswot_ray.run.driver import Driver
from tests.data import find_images
from tests.dataset.making import settings
from tests.datasets import logical_architectures, logical_rows, part_files, score_here

OPTIONS = {"limit": 10, "batch_size": [4], "seed": [0], "shard_size": 4}


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_rows_are_what_the_score_function_gives(tmp_path: Path) -> None:
    record = score_here(tmp_path / "d", **OPTIONS)
    assert record.counts == {"rows": 10, "ok": 10}
    images = naswot_ray.load_images("noise").batch(4, seed=0)
    for row in naswot_ray.open(tmp_path / "d").scores.to_table().to_pylist():
        expected = naswot_ray.score(row["arch_id"], images, seed=0)
        assert (row["naswot"], row["naswot_paper"], row["num_units"]) == (
            expected["naswot"],
            expected["naswot_paper"],
            expected.num_units,
        )
        assert (row["status"], row["error"], row["engine"], row["dtype"]) == ("ok", None, "fast", "float32")
        assert row["arch_id"] == naswot_ray.get_space("nasbench201")[row["arch_index"]]


def test_rows_do_not_depend_on_the_shards(tmp_path: Path) -> None:
    score_here(tmp_path / "a", **OPTIONS)
    score_here(tmp_path / "b", **{**OPTIONS, "shard_size": 3})
    assert logical_rows(tmp_path / "a") == logical_rows(tmp_path / "b")
    assert logical_architectures(tmp_path / "a") == logical_architectures(tmp_path / "b")


def test_the_same_command_again_writes_no_row(tmp_path: Path) -> None:
    score_here(tmp_path, **OPTIONS)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.parquet")}
    assert score_here(tmp_path, **OPTIONS).counts == {"rows": 0}
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.parquet")} == before


def test_a_lost_part_is_done_again_and_nothing_else(tmp_path: Path) -> None:
    score_here(tmp_path, **OPTIONS)
    rows = logical_rows(tmp_path)
    part_files(tmp_path)[1].unlink()
    assert score_here(tmp_path, **OPTIONS).counts == {"rows": 4, "ok": 4}
    assert logical_rows(tmp_path) == rows


def test_more_of_the_grid_extends_a_dataset(tmp_path: Path) -> None:
    score_here(tmp_path / "steps", **OPTIONS)
    score_here(tmp_path / "steps", **{**OPTIONS, "limit": 13})
    score_here(tmp_path / "steps", **{**OPTIONS, "limit": 13, "batch_size": [4, 6], "seed": [0, 1], "shard_size": None})
    score_here(tmp_path / "once", **{**OPTIONS, "limit": 13, "batch_size": [4, 6], "seed": [0, 1]})
    assert logical_rows(tmp_path / "steps") == logical_rows(tmp_path / "once")
    assert len(logical_rows(tmp_path / "once")) == 4 * 13
    assert logical_architectures(tmp_path / "steps") == logical_architectures(tmp_path / "once")


def test_another_image_source_extends_a_dataset(tmp_path: Path) -> None:
    score_here(tmp_path, **OPTIONS)
    score_here(tmp_path, **OPTIONS, images="cifar10", data=find_images("cifar10"))
    with naswot_ray.open(tmp_path).connect() as connection:
        counts = connection.execute("SELECT images, count(*) FROM scores GROUP BY ALL ORDER BY ALL").fetchall()
    assert counts == [("cifar10", 10), ("noise", 10)]


def test_an_architecture_that_raises_is_a_row_and_costs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    culprit = naswot_ray.get_space("nasbench201")[5]

    run_forward = FastEngine.run_forward

    def sabotaged(engine: FastEngine, network: naswot_ray.Network, *arguments: Any) -> ForwardPass:
        if network.arch_id == culprit:
            raise RuntimeError("out of luck")
        return run_forward(engine, network, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(FastEngine, "run_forward", sabotaged)
        assert score_here(tmp_path / "d", **OPTIONS).counts == {"rows": 10, "ok": 9, "failed": 1}
        rows = naswot_ray.open(tmp_path / "d").scores.to_table().to_pylist()
        (failed,) = [row for row in rows if row["status"] == schema.STATUS_FAILED]
        assert (failed["arch_id"], failed["error"], failed["naswot"]) == (culprit, "RuntimeError: out of luck", None)
        assert score_here(tmp_path / "d", **OPTIONS).counts == {"rows": 0}
        assert score_here(tmp_path / "d", **OPTIONS, retry_failed=True).counts == {"rows": 1, "failed": 1}
    assert score_here(tmp_path / "d", **OPTIONS, retry_failed=True).counts == {"rows": 1, "ok": 1}
    score_here(tmp_path / "undisturbed", **OPTIONS)
    assert logical_rows(tmp_path / "d") == logical_rows(tmp_path / "undisturbed")


def test_singular_rows_say_so(tmp_path: Path) -> None:
    space = naswot_ray.get_space("nasbench201")
    index = space.index("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    storage = Storage(tmp_path)
    batch = Batch("noise", 4, 0)
    number = index // 4
    shard = Shard(Point("nasbench201", batch), number, 4 * number, 4 * number + 4)
    images = naswot_ray.load_images("noise").batch(4, 0)
    receipt = worker.Worker(storage.root, "r", settings()).run(Task(shard, (index,)), space, images)
    assert receipt.counts == {"singular": 1}
    with storage.open_parquet(shard.path) as file:
        (row,) = file.read().to_pylist()
    assert (row["naswot"], row["naswot_paper"], row["status"]) == (float("-inf"), float("-inf"), "singular")


@pytest.mark.parametrize("limit", [10, 13])
def test_a_damaged_part_is_set_aside_and_its_rows_are_computed_again(
    tmp_path: Path, limit: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also if the part is one to which more rows belong: what cannot be trusted is never merged."""
    score_here(tmp_path / "d", **OPTIONS)
    part = part_files(tmp_path / "d")[-1]
    damaged = bytearray(part.read_bytes())
    damaged[len(damaged) // 4] ^= 1
    part.write_bytes(damaged)
    record = score_here(tmp_path / "d", **{**OPTIONS, "limit": limit})
    assert record.counts["rows"] == limit - 8
    score_here(tmp_path / "undisturbed", **{**OPTIONS, "limit": limit})
    assert logical_rows(tmp_path / "d") == logical_rows(tmp_path / "undisturbed")
    (kept,) = (tmp_path / "d" / "removed").rglob(part.name)
    assert kept.read_bytes() == damaged
    told = capsys.readouterr().err
    assert f"scores/{part.name} is damaged: its bytes are not those that were written: moved to removed/" in told


def test_a_part_that_is_damaged_while_the_run_goes_on_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive, drives = Driver.drive, 0

    def driving(self: Driver, tasks: Iterable[Task]) -> None:
        nonlocal drives
        drive(self, tasks)
        drives += 1
        if drives == 1:
            part = part_files(tmp_path)[0]
            part.write_bytes(part.read_bytes()[:-1])

    monkeypatch.setattr(Driver, "drive", driving)
    record = score_here(tmp_path, **OPTIONS)
    assert record.state is not None
    assert record.state.is_whole
    assert (drives, record.counts["rows"]) == (2, 14)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": ["nasbench999"]}, "unknown space 'nasbench999'; there are: nasbench101, nasbench201"),
        ({"images": "mnist"}, "unknown image source 'mnist'"),
        ({"images": "cifar10"}, "needs a data directory"),
        ({"batch_size": [1]}, "batch size 1: a kernel needs at least 2 images"),
        ({"batch_size": []}, "--batch-size needs at least one value"),
        ({"seed": [1, 1]}, "--seed needs at least one value and no value twice"),
        ({"seed": [-1]}, "--seed must be from 0"),
        (
            {"seed": list(range(10**5 + 1))},
            "100,001 combinations of --space, --batch-size and --seed, expected",
        ),
        ({"limit": 0}, "--limit"),
        ({"shard_size": 5}, "holds parts of 4 architectures, but --shard-size asks for 5"),
    ],
)
def test_bad_options_name_the_option_and_leave_the_dataset_alone(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    score_here(tmp_path, **OPTIONS)
    before = contents(tmp_path)
    with pytest.raises(NaswotError, match=message):
        score_here(tmp_path, **{**OPTIONS, **changes})
    assert contents(tmp_path) == before


def test_settings_that_change_what_a_row_means_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score_here(tmp_path, **OPTIONS)
    before = contents(tmp_path)
    space = naswot_ray.get_space("nasbench201")
    monkeypatch.setattr(
        type(space), "settings", lambda self: {"channels": [16, 32, 64], "cells_per_stage": 3, "initialisation": "x"}
    )
    with pytest.raises(SettingsError, match=r"spaces\.nasbench201\.cells_per_stage is 5 there, 3 in this run"):
        score_here(tmp_path, **OPTIONS)
    assert contents(tmp_path) == before


def test_the_run_record_tells_what_was_asked_and_what_came_of_it(tmp_path: Path) -> None:
    record = score_here(tmp_path, **OPTIONS)
    (stored,) = naswot_ray.open(tmp_path).runs
    assert stored == record
    assert stored.status == "finished"
    assert stored.grid.limit == 10
    assert stored.options["shard_size"] == 4
    assert stored.versions["torch"] is not None
    assert stored.fingerprint == naswot_ray.open(tmp_path).manifest.fingerprint
