"""Machines are lost, cut off and added in the middle of a job; the dataset equals an undisturbed one row for row.

In this order: each test begins with the machines that the one before leaves.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.sandbox import HEAD, Sandbox
from tests.faults.sandbox.jobs import Job, assert_equal, tell, wait_until

pytestmark = pytest.mark.timeout(900)

ACTOR = "ray::WorkerActor"


def has_actor(sandbox: Sandbox, name: str) -> bool:
    return any(command.startswith(ACTOR) for command in sandbox.machines.processes(name).values())


def test_a_lost_raylet(sandbox: Sandbox, shared_disk: Path, undisturbed: Path) -> None:
    sandbox.wait_for_nodes([HEAD, "worker-1", "worker-2"])
    root = shared_disk / "raylet"
    job = Job(sandbox, root)
    rows = job.wait_for_rows(8)
    assert has_actor(sandbox, "worker-1")
    sandbox.kill_raylet("worker-1")
    assert job.finish() == 0, job.output
    assert_equal(root, undisturbed)
    tell("raylet of a worker: kill -9", rows, root)


def test_a_machine_without_power_and_one_that_joins_late(sandbox: Sandbox, shared_disk: Path, undisturbed: Path) -> None:
    sandbox.wait_for_nodes([HEAD, "worker-1", "worker-2"])  # the autoscaler has started the lost one anew
    root = shared_disk / "power"
    job = Job(sandbox, root)
    rows = job.wait_for_rows(8)
    sandbox.kill_node("worker-2")
    sandbox.add_node("late")
    wait_until(lambda: job.status is not None or has_actor(sandbox, "late"), "an actor on the late node")
    assert has_actor(sandbox, "late"), job.output
    assert job.finish() == 0, job.output
    assert_equal(root, undisturbed)
    tell("a worker: power cut; another joins late", rows, root)


def test_a_cut_network_that_is_mended(sandbox: Sandbox, shared_disk: Path, undisturbed: Path) -> None:
    """The actor beyond the cut goes on and writes its shard, which the driver, when it notices, has done again elsewhere."""
    sandbox.wait_for_nodes([HEAD, "late", "worker-1"])
    root = shared_disk / "cut"
    job = Job(sandbox, root)
    rows = job.wait_for_rows(8)
    wait_until(lambda: "ray::WorkerActor.run" in sandbox.machines.processes("worker-1").values(), "a shard on worker-1")
    sandbox.machines.cut("worker-1")
    wait_until(lambda: job.status is not None or "worker-1" not in sandbox.alive(), "Ray notices")
    assert job.status is None, job.output
    sandbox.machines.mend("worker-1")
    assert job.finish() == 0, job.output
    assert "the worker's node died; trying again" in job.output
    assert_equal(root, undisturbed)
    tell("network of a worker: cut, mended when its shard is redone", rows, root)


def test_a_lost_head(sandbox: Sandbox, shared_disk: Path, undisturbed: Path) -> None:
    root = shared_disk / "head"
    job = Job(sandbox, root)
    rows = job.wait_for_rows(8)
    sandbox.kill_node(HEAD)  # the driver with it
    job.abandon()
    sandbox.kill_node("late")
    for name in (HEAD, "worker-2"):
        sandbox.machines.start(name)
    sandbox.ray_up()
    job = Job(sandbox, root)
    assert job.finish() == 0, job.output
    assert_equal(root, undisturbed)
    tell("head, with the driver: power cut; a new cluster", rows, root)
