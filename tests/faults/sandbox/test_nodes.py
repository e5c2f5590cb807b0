"""Machines are lost, cut off and added in the middle of a job, and the dataset equals an undisturbed one row for row.

The order of the tests matters: each begins with the machines that the one before it leaves.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.sandbox import HEAD, Sandbox
from cluster.sandbox.machines import CLIENT, NETWORK
from tests import s3
from tests.faults.sandbox.jobs import ACTOR, NUM_ROWS, SHARD_SIZE, Job, assert_equal, tell, wait_until

pytestmark = pytest.mark.timeout(900)


def has_actor(sandbox: Sandbox, name: str) -> bool:
    return any(re.match(ACTOR, command) for command in sandbox.machines.processes(name).values())


def test_a_lost_raylet(sandbox: Sandbox, shared_disk: Path, undisturbed: Path) -> None:
    sandbox.wait_for_nodes([HEAD, "worker-1", "worker-2"])
    root = shared_disk / "raylet"
    job = Job(sandbox, root)
    rows = job.hold(8)
    wait_until(lambda: has_actor(sandbox, "worker-1"), "an actor on worker-1")
    sandbox.kill_raylet("worker-1")
    job.let_go()
    assert job.finish() == 0, job.output
    assert_equal(root, undisturbed)
    tell("raylet of a worker: kill -9", rows)


def test_a_machine_without_power_and_one_that_joins_late(sandbox: Sandbox, shared_disk: Path, undisturbed: Path) -> None:
    sandbox.wait_for_nodes([HEAD, "worker-1", "worker-2"])  # the autoscaler has started the lost machine again
    root = shared_disk / "power"
    job = Job(sandbox, root)
    rows = job.hold(8)
    sandbox.kill_node("worker-2")
    sandbox.add_node("late")
    wait_until(lambda: job.status is not None or has_actor(sandbox, "late"), "an actor on the late node")
    assert has_actor(sandbox, "late"), job.output
    job.let_go()
    assert job.finish() == 0, job.output
    assert_equal(root, undisturbed)
    tell("a worker: power cut; another joins late", rows)


def test_a_cut_network_that_is_mended(sandbox: Sandbox, shared_disk: Path, undisturbed: Path) -> None:
    """The actor that is cut off continues and writes its shard. Once the driver notices the cut, it has the shard done
    again."""
    sandbox.wait_for_nodes([HEAD, "late", "worker-1"])
    root = shared_disk / "cut"
    job = Job(sandbox, root)
    rows = job.hold(8)
    wait_until(lambda: "ray::WorkerActor.run" in sandbox.machines.processes("worker-1").values(), "a shard on worker-1")
    sandbox.machines.cut("worker-1")
    job.let_go("worker-1")
    wait_until(lambda: job.status is not None or "worker-1" not in sandbox.alive(), "Ray notices", every=1)
    assert job.status is None, job.output
    sandbox.machines.mend("worker-1")
    job.let_go()
    assert job.finish() == 0, job.output
    assert "the worker's node died; trying again" in job.output
    assert_equal(root, undisturbed)
    tell("network of a worker: cut, mended when its shard is redone", rows)


@dataclass(frozen=True)
class Bucket:
    """The dataset is on an S3 server that runs on the client, which survives whatever happens to the cluster.

    The tests cannot reach the sandbox's network, so programs on the client look into the server.
    """

    sandbox: Sandbox
    endpoint = f"{NETWORK}.1:5000"
    uri = f"s3://bucket/scores?endpoint_override={endpoint}&scheme=http&region={s3.REGION}"

    def run(self, program: str) -> str:
        """Run a program that finds a client of the server in `s3`, and return its output."""
        credentials = [f"{name}={value}" for name, value in s3.CREDENTIALS.items()]
        connect = f"import boto3; s3 = boto3.client('s3', endpoint_url='http://{self.endpoint}', region_name={s3.REGION!r})"
        status, output = self.sandbox.run("env", *credentials, sys.executable, "-c", f"{connect}\n{program}")
        assert status == 0, output
        return output

    def rows(self) -> int:
        """Rows in complete parts. This is called often, so it does without boto3, which takes a second to import."""
        listing = f"http://{self.endpoint}/bucket?list-type=2&prefix=scores/scores/"
        program = f"from urllib.request import urlopen; print(urlopen({listing!r}).read().count(b'<Key>'))"
        status, output = self.sandbox.run(sys.executable, "-c", program)
        assert status == 0, output
        return int(output) * SHARD_SIZE

    def copy(self, target: Path) -> None:
        """Fetch the dataset."""
        self.run(f"from pyarrow import fs; fs.copy_files({self.uri!r}, {str(target)!r})")


@pytest.fixture
def bucket(sandbox: Sandbox) -> Iterator[Bucket]:
    bucket = Bucket(sandbox)
    host, _, port = bucket.endpoint.partition(":")
    server = sandbox.popen(sys.executable, "-m", "moto.server", "-H", host, "-p", port, output=subprocess.DEVNULL)
    bucket.run("s3.create_bucket(Bucket='bucket')")  # botocore tries again while nobody answers
    yield bucket
    sandbox.machines.kill(CLIENT, "moto.server")
    server.wait()


def test_a_lost_head_whose_dataset_is_in_a_bucket(
    sandbox: Sandbox, shared_disk: Path, undisturbed: Path, bucket: Bucket
) -> None:
    """Nothing of the old cluster is needed: the new one reads the bucket and does the rest."""
    job = Job(sandbox, bucket.uri, shared_disk / "head.log")
    rows = job.hold(8, bucket.rows)
    sandbox.kill_node(HEAD)  # the driver is lost with it
    job.abandon()
    sandbox.kill_node("late")
    for name in (HEAD, "worker-2"):
        sandbox.machines.start(name)
    sandbox.ray_up()
    job = Job(sandbox, bucket.uri, shared_disk / "head-again.log")
    assert job.finish() == 0, job.output
    (scored,) = re.findall(r"(\d+) rows scored", job.output)
    assert 0 < int(scored) <= NUM_ROWS - rows, "what was there is not done again"
    bucket.copy(shared_disk / "copy")
    assert_equal(shared_disk / "copy", undisturbed)
    tell("head, with the driver: power cut; a new cluster, dataset in a bucket", rows)
