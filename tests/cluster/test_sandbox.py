"""The whole way on real machines, as far as they can tell: `ray up`, `ray job submit`, `ray down`."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.sandbox import HEAD, Sandbox, unavailable
from cluster.sandbox.machines import CLIENT
from tests.datasets import logical_architectures, logical_rows, score_here

GRID = {"limit": 24, "batch_size": [8], "seed": [0, 1], "shard_size": 4}
ARGS = ["--limit", "24", "--batch-size", "8", "--seed", "0", "--seed", "1", "--shard-size", "4"]
pytestmark = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))


def namespaces_in_use() -> set[str]:
    """Of every kind, by all processes of this machine that can be looked at."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/*"):
        try:
            found.add(str(link.readlink()))
        except OSError:
            continue
    return found


def mentions(state: Path) -> list[Path]:
    """Mount tables and command lines that name the sandbox's directory."""
    found = []
    for path in [*Path("/proc").glob("[0-9]*/mountinfo"), *Path("/proc").glob("[0-9]*/cmdline")]:
        try:
            if str(state).encode() in path.read_bytes():
                found.append(path)
        except OSError:
            continue
    return found


@pytest.mark.timeout(900)
def test_a_cluster_is_brought_up_used_and_taken_down_without_a_trace(tmp_path: Path) -> None:
    root = tmp_path / "scores"
    others = namespaces_in_use()
    with Sandbox(num_workers=2, shared=[tmp_path]) as sandbox:
        sandbox.ray_up()
        job = sandbox.submit("python", "jobs/score.py", "--output", str(root), *ARGS)
        output, _ = job.communicate(timeout=300)
        assert job.returncode == 0, output
        assert "48 rows scored" in output
        assert "on 2 actors" in output
        status, output = sandbox.run("env", "RAY_AUTH_MODE=disabled", "ray", "job", "list")
        assert status != 0, "the cluster answers without its token"

        sandbox.ray_down()
        left = {name: sandbox.machines.processes(name).values() for name in (HEAD, *sandbox.workers)}
        assert {name: [command.split()[0] for command in commands] for name, commands in left.items()} == {
            name: ["bash", "sshd:"] for name in left
        }
        machines = sandbox.machines
        assert mentions(machines.state)
        namespaces = {str(link.readlink()) for pid in machines.inits.values() for link in Path(f"/proc/{pid}/ns").iterdir()}
        assert len(namespaces - others) == 4 * len([CLIENT, HEAD, *sandbox.workers])
    assert mentions(machines.state) == []
    assert not machines.state.exists()
    assert not namespaces_in_use() & (namespaces - others)

    score_here(tmp_path / "undisturbed", **GRID)
    assert logical_rows(root) == logical_rows(tmp_path / "undisturbed")
    assert logical_architectures(root) == logical_architectures(tmp_path / "undisturbed")
