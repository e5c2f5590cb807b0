"""A worker keeps what it needs again, and distinguishes an architecture that fails from a device that fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import naswot_ray
from naswot_ray.dataset.storage import Storage
from naswot_ray.engines.fast.engine import FastEngine
from naswot_ray.errors import RunError
from naswot_ray.grid.grid import Batch, Point, Shard, Task
from naswot_ray.grid.rows import architecture_row, write_failed
from naswot_ray.network import Network
from naswot_ray.run import worker
from naswot_ray.run.pool import InProcessPool
from naswot_ray.run.receipt import DeviceLostError, Receipt
from naswot_ray.run.worker import Worker
from tests.dataset.making import settings

SPACE = naswot_ray.get_space("nasbench201")
BATCH = Batch("noise", 4, 0)
SHARD = Shard(Point("nasbench201", BATCH), 1, 4, 8)
IMAGES = naswot_ray.load_images("noise").batch(4, 0)


def run(root: Path, indices: tuple[int, ...], *, run_id: str = "run") -> Receipt:
    return Worker(str(root), run_id, settings()).run(Task(SHARD, indices), SPACE, IMAGES)


def rows(root: Path) -> list[dict[str, object]]:
    with Storage(root).open_parquet(SHARD.path) as file:
        found: list[dict[str, object]] = file.read().to_pylist()
    return found


def test_rows_that_are_there_are_not_scored_again(tmp_path: Path) -> None:
    first = run(tmp_path, (4, 6))
    assert (first.rows, first.skipped) == (2, 0)
    before = rows(tmp_path)
    second = run(tmp_path, (4, 5, 6, 7), run_id="another run")
    assert (second.rows, second.skipped, sum(second.counts.values())) == (4, 2, 2)
    assert second.part == SHARD.path
    assert [row for row in rows(tmp_path) if row["arch_index"] in (4, 6)] == before
    third = run(tmp_path, (4, 5, 6, 7), run_id="a third run")
    assert (third.counts, third.skipped, third.part) == ({}, 4, None)


def test_rows_that_an_earlier_try_wrote_before_it_was_killed_are_counted(tmp_path: Path) -> None:
    """The try that finds them counts them: the killed one could not report them."""
    run(tmp_path, (4,), run_id="another run")
    killed = run(tmp_path, (5, 6))
    again = run(tmp_path, (4, 5, 6, 7))
    assert again.skipped == 1
    assert sum(again.counts.values()) == 3
    assert set(again.counts) <= {"ok", "singular"}
    assert sum(killed.counts.values()) == 2
    done = run(tmp_path, (4, 5, 6, 7))
    assert (sum(done.counts.values()), done.skipped, done.part) == (3, 1, None)


def test_graphs_serve_all_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    build = type(SPACE).network

    def counting(space: object, arch_id: str, **kwargs: object) -> object:
        built.append(arch_id)
        return build(space, arch_id, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(type(SPACE), "network", counting)
    one = Worker(str(tmp_path), "run", settings())
    for seed in (0, 1):
        for batch_size in (4, 8):
            batch = Batch("noise", batch_size, seed)
            shard = Shard(Point("nasbench201", batch), 1, 4, 8)
            images = naswot_ray.load_images("noise").batch(batch_size, seed)
            assert one.run(Task(shard, (4, 5, 6)), SPACE, images).rows == 3
    assert built == [SPACE[4], SPACE[5], SPACE[6]]
    monkeypatch.setattr(worker, "NUM_NETWORKS", 2)
    one.score_rows(SPACE, [5, 7, 5, 4], BATCH, torch.from_numpy(IMAGES), ["naswot"])
    assert built[3:] == [SPACE[7], SPACE[4]]  # what was used last is kept longest


def test_a_long_task_is_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "WRITE_SECONDS", 0)
    receipt = run(tmp_path, (4, 5, 6))
    assert (receipt.rows, receipt.left) == (1, (5, 6))
    assert [row["arch_index"] for row in rows(tmp_path)] == [4]
    receipt = run(tmp_path, receipt.left)
    assert (receipt.rows, receipt.left) == (1, (6,))
    assert run(tmp_path, receipt.left).left == ()
    assert [row["arch_index"] for row in rows(tmp_path)] == [4, 5, 6]


def test_failed_rows_that_are_there_are_scored_again(tmp_path: Path) -> None:
    write_failed(Storage(tmp_path), SPACE, Task(SHARD, (5,)), "it died", "run", settings())
    assert [row["status"] for row in rows(tmp_path)] == ["failed"]
    receipt = run(tmp_path, (5,))
    assert receipt.skipped == 0
    assert "failed" not in receipt.counts


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("not enough memory"), MemoryError()]
)
def test_an_architecture_that_needs_too_much_memory_is_a_failed_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(FastEngine, "run_forward", fail)
    assert run(tmp_path, (4,)).counts == {"failed": 1}
    assert str(rows(tmp_path)[0]["error"]).startswith(f"{type(error).__name__}: {error}".strip())


def test_a_value_that_no_column_holds_is_a_failed_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing the value would fail, and with it the rows of all other architectures of the part."""
    monkeypatch.setattr(Network, "flops", 2**63)
    row = architecture_row(SPACE, 5)
    assert (row.status, row.params) == ("failed", None)
    assert row.error == "ValueError: flops 9223372036854775808 does not fit a column of int64"


def test_a_reason_that_parquet_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise ValueError("\ud800" + "x" * 10**6)

    monkeypatch.setattr(type(SPACE), "trained_network", fail)
    assert architecture_row(SPACE, 5).error == "ValueError: ?" + "x" * 1987


def test_a_device_that_fails_is_not_blamed_on_the_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA reports an illegal address at every later call too, so rows of innocent architectures would all become failed."""

    def fail(*args: object, **kwargs: object) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCompile with ...")

    monkeypatch.setattr(FastEngine, "run_forward", fail)
    with pytest.raises(DeviceLostError, match=r"^CUDA error: an illegal memory access was encountered$"):
        run(tmp_path, (4, 5))
    assert not Storage(tmp_path).exists(SHARD.path)
    pool = InProcessPool(lambda: Worker(str(tmp_path), "run", settings()), {SPACE.name: SPACE}, lambda batch: IMAGES, 1)
    pool.wait(0)
    pool.submit(0, Task(SHARD, (4,)))
    with pytest.raises(RunError, match=r"the GPU failed .* leave out --in-process"):
        pool.wait(0)
