"""The whole way on machines that believe they are real: `ray up`, `ray job submit`, `ray down`."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from cluster.sandbox import HEAD, Sandbox
from cluster.sandbox.machines import CLIENT
from tests.datasets import logical_architectures, logical_rows, score_here
from tests.faults.sandbox.jobs import LIMIT_SECONDS, wait_until

GRID = {"limit": 24, "batch_size": [8], "seed": [0, 1], "shard_size": 4}
ARGS = ["--limit", "24", "--batch-size", "8", "--seed", "0", "--seed", "1", "--shard-size", "4"]


def mentions(state: Path) -> list[Path]:
    """Mount tables and command lines that contain the sandbox's directory."""
    found = []
    for path in [*Path("/proc").glob("[0-9]*/mountinfo"), *Path("/proc").glob("[0-9]*/cmdline")]:
        try:
            if str(state).encode() in path.read_bytes():
                found.append(path)
        except OSError:
            continue
    return found


@pytest.mark.timeout(900)
def test_a_cluster_is_brought_up_used_and_taken_down_without_a_trace(
    sandbox: Sandbox, shared_disk: Path, tmp_path: Path
) -> None:
    """This is the last test of the sandbox, and it leaves none."""
    sandbox.wait_for_nodes([HEAD, *sandbox.workers])
    root = shared_disk / "scores"
    job = sandbox.submit("python", "jobs/score.py", "--output", str(root), *ARGS)
    output, _ = job.communicate(timeout=LIMIT_SECONDS)
    assert job.returncode == 0, output
    assert "48 rows scored" in output
    assert "on 2 actors" in output
    status, output = sandbox.run("env", "RAY_AUTH_MODE=disabled", "ray", "job", "list")
    assert status != 0, "the cluster answers without its token"

    sandbox.ray_down()
    machines = sandbox.machines

    def left() -> set[str]:
        """Programs that run on the nodes. A process that has ended but was not waited for yet has no command line."""
        found = [command for name in (HEAD, *sandbox.workers) for command in machines.processes(name).values()]
        return {command.split()[0] for command in found if command}

    wait_until(lambda: left() == {"bash", "sshd:"}, "Ray's end on every node")
    assert mentions(machines.state)
    processes = [psutil.Process(pid) for name in (CLIENT, HEAD, *sandbox.workers) for pid in machines.pids(name)]
    sandbox.close()
    # A namespace without a process and a mount is gone, and everything in it too.
    assert not any(process.is_running() for process in processes)
    assert mentions(machines.state) == []
    assert not machines.state.exists()

    score_here(tmp_path / "undisturbed", **GRID)
    assert logical_rows(root) == logical_rows(tmp_path / "undisturbed")
    assert logical_architectures(root) == logical_architectures(tmp_path / "undisturbed")
