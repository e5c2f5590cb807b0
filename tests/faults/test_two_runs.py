"""Two drivers on one dataset at once: both finish, and the dataset is one correct one."""

from __future__ import annotations

from pathlib import Path

from naswot_ray.cli import EXIT_PARTIAL
from tests.cli.running import naswot
from tests.datasets import logical_architectures, logical_rows, part_files, score_here
from tests.faults.processes import finish, start, wait_until

GRID = {"limit": 48, "batch_size": [16], "seed": [0, 1], "shard_size": 4}
ARGS = ["--batch-size", "16", "--seed", "0", "--seed", "1", "--shard-size", "4", "--num-actors", "1"]


def test_the_same_command_twice(tmp_path: Path) -> None:
    root = tmp_path / "d"
    first = start(tmp_path / "home", "score", "-o", str(root), "--limit", "48", *ARGS)
    wait_until(lambda: len(part_files(root)) >= 2, first)
    second = start(tmp_path / "home", "score", "-o", str(root), "--limit", "48", *ARGS)
    outputs = [finish(process) for process in (first, second)]
    assert [status for status, _ in outputs] == [0, 0], outputs
    assert "has not ended: if it still runs, both will finish and the dataset will be right" in outputs[1][1]
    score_here(tmp_path / "undisturbed", **GRID)
    assert logical_rows(root) == logical_rows(tmp_path / "undisturbed")
    assert logical_architectures(root) == logical_architectures(tmp_path / "undisturbed")
    assert naswot("check", root).exit_code == 0
    scored = sum(int(output.partition(" rows scored")[0].split()[-1]) for _, output in outputs if "rows scored" in output)
    assert scored < 2 * 96 - 10, "the second began at the other end, so they shared the work"


def test_runs_that_fill_different_rows_of_the_same_parts(tmp_path: Path) -> None:
    """--limit 30 ends in the middle of a shard of four, which the other run fills up; --sample takes one here, two there."""
    root = tmp_path / "d"
    grids = [("--limit", "30"), ("--limit", "48"), ("--sample", "60")]
    score_here(root, limit=1, batch_size=[16], seed=[0], shard_size=4)
    processes = [start(tmp_path / "home", "score", "-o", str(root), *grid, *ARGS) for grid in grids]
    for process in processes:
        status, output = finish(process, timeout=200)
        assert status == 0, output
    undisturbed = tmp_path / "undisturbed"
    for name, count in (("limit", 48), ("sample", 60)):
        score_here(undisturbed, batch_size=[16], seed=[0, 1], shard_size=4, **{name: count})
    assert logical_rows(root) == logical_rows(undisturbed)
    assert naswot("check", root).exit_code != EXIT_PARTIAL
