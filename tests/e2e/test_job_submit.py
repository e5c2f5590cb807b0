"""The job as operators run it: `ray start --head`, then `ray job submit --working-dir . -- python jobs/score.py ...`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import naswot_ray
from tests import s3
from tests.cli.running import prints
from tests.dataset.making import TABLES
from tests.datasets import logical_rows, part_files, score_here
from tests.faults.processes import LIMIT_SECONDS, ROOT, environment, wait_until
from tests.head import RAY, Head, free_port

GRID = {"limit": 12, "batch_size": [4, 8], "seed": [0], "shard_size": 4}
ARGS = ["--limit", "12", "--batch-size", "4", "--batch-size", "8", "--seed", "0", "--shard-size", "4"]


@pytest.fixture(scope="module")
def working_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a checkout: no data, and no virtual environment."""
    target = tmp_path_factory.mktemp("checkout")
    for name in ("naswot_ray", "jobs"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def submit(head: Head, working_dir: Path, *command: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(RAY), "job", "submit", "--working-dir", str(working_dir), "--", "python", *command],
        env=head.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_SECONDS,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_score_and_join_as_submitted_jobs(head: Head, working_dir: Path, tmp_path: Path) -> None:
    root, table = tmp_path / "scores", tmp_path / "accuracies.csv"
    status, output = submit(head, working_dir, "jobs/score.py", "--output", str(root), *ARGS)
    assert status == 0, output
    assert "24 rows scored" in output
    assert re.search(r"on [12] actors?: ", output), output  # on a busy machine the first one may do all
    assert "Continue in DuckDB" in output
    score_here(tmp_path / "undisturbed", **GRID)
    rows = logical_rows(tmp_path / "undisturbed")
    assert logical_rows(root) == rows

    arch_ids = dict.fromkeys(row[1] for row in rows)
    table.write_text("arch_id,accuracy\n" + "".join(f'"{a}",{50 + i}\n' for i, a in enumerate(arch_ids)))
    args = ["--accuracies", str(table), "--map", "cifar10/test/200=accuracy"]
    status, output = submit(head, working_dir, "jobs/join.py", str(root), *args)
    assert status == 0, output
    assert "24 joined rows, 12 architectures matched" in output
    assert "Kendall tau with cifar10 test accuracy" in output


def rows_by_table(head: Head, run_id: str) -> Counter[str]:
    """What the cluster's metrics say about a run."""
    with urllib.request.urlopen(head.metrics_url, timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(r"^ray_naswot_ray_rows_total\{(.*)\} (\S+)$", text, re.MULTILINE)
    rows: Counter[str] = Counter()
    for labels, value in found:
        if f'run_id="{run_id}"' in labels:
            rows[re.findall(r'table="(\w+)"', labels)[0]] += int(float(value))  # over all statuses
    return rows


def test_a_run_shows_in_the_metrics_and_ray_job_stop_drains_it_and_the_same_command_does_the_rest(
    head: Head, working_dir: Path, tmp_path: Path
) -> None:
    root, args = tmp_path / "d", ["--batch-size", "16", "--seed", "0", "--seed", "1", "--shard-size", "4", "--engine", "exact"]
    args += ["--num-actors", "1"]  # otherwise the tests running at the same time would have to wait
    command = [str(RAY), "job", "submit", "--working-dir", str(working_dir), "--submission-id", "drained", "--"]
    job = subprocess.Popen(
        [*command, "python", "jobs/score.py", "-o", str(root), "--limit", "400", *args],  # longer than the test takes
        env=head.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: len(part_files(root)) > 3, job)
        (record_path,) = (root / "runs").iterdir()
        wait_until(lambda: rows_by_table(head, record_path.stem).keys() == {"architectures", "scores"}, job)
        assert 4 <= rows_by_table(head, record_path.stem)["scores"] < 800
        subprocess.run(
            [str(RAY), "job", "stop", "drained"], env=head.environment, check=True, capture_output=True, timeout=LIMIT_SECONDS
        )
        output, _ = job.communicate(timeout=100)
    finally:
        job.kill()
        job.communicate()
    assert "interrupted; everything written is kept, and the same command does the rest" in output
    (record,) = naswot_ray.open(root).runs
    assert record.status == "interrupted", "it had the time to say so"
    assert 0 < record.counts["rows"] < 800

    status, output = submit(head, working_dir, "jobs/score.py", "--output", str(root), "--limit", "8", *args)
    assert status == 0, output
    score_here(tmp_path / "undisturbed", limit=8, batch_size=[16], seed=[0, 1], shard_size=4, engine="exact")
    index = TABLES["scores"].get_field_index("arch_index")
    assert [row for row in logical_rows(root) if row[index] < 8] == logical_rows(tmp_path / "undisturbed")


def test_a_live_search_as_a_submitted_job(head: Head, working_dir: Path, tmp_path: Path) -> None:
    args = ["--live", "--space", "nasbench201", "--samples", "5", "--batch-size", "4", "--runs", "2", "-o"]
    status, output = submit(head, working_dir, "jobs/search.py", *args, str(tmp_path / "there"))
    assert status == 0, output
    prints("search", *args, tmp_path / "here")  # without Ray
    there_rows, here_rows = (
        pq.read_table(tmp_path / name / "search.parquet").drop(["seconds"]).to_pylist() for name in ("there", "here")
    )
    assert there_rows == here_rows
    assert there_rows[-1]["num_scored"] == 5


def test_a_job_with_a_bad_option_fails_with_one_line(head: Head, working_dir: Path, tmp_path: Path) -> None:
    status, output = submit(head, working_dir, "jobs/score.py", "--output", str(tmp_path / "d"), "--space", "nasbench999")
    assert status != 0
    assert "failed with exit code 2" in output, "`ray job submit` itself exits with 1 whatever the job did"
    assert "error: unknown space 'nasbench999'; there are: nasbench101, nasbench201, nats_sss" in output
    assert "Traceback" not in output.partition("error: unknown")[0]
    assert not (tmp_path / "d").exists()


def test_relative_paths_of_a_job(head: Head, working_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(working_dir, tmp_path / "checkout")
    (tmp_path / "checkout/table.csv").write_text("arch_id,accuracy\n")
    mapping = ["--map", "arch_id=arch_id", "--map", "cifar10/test/200=accuracy"]
    commands = [
        ["jobs/score.py", "--output", "scores", *ARGS],
        ["jobs/join.py", str(tmp_path / "none"), "--accuracies", "table.csv", *mapping],
        ["jobs/join.py", str(tmp_path / "none"), "--accuracies", "other.csv"],
    ]
    program = f"import subprocess, sys; sys.exit(sum(subprocess.call([sys.executable, *c]) == 2 for c in {commands}))"
    status, output = submit(head, tmp_path / "checkout", "-c", program)
    assert "failed with exit code 3" in output, "each of them refuses"
    assert status != 0
    assert "error: --output scores: inside a Ray job a relative path refers to the job's own folder" in output
    assert "none does not exist" in output, "the table came along, the dataset is not there"
    assert "error: --accuracies other.csv: inside a Ray job" in output


def test_the_command_line_connects_to_a_running_cluster(head: Head, tmp_path: Path) -> None:
    command = [sys.executable, "jobs/score.py", "-o", str(tmp_path / "d"), "--address", head.address, *ARGS]
    done = subprocess.run(command, cwd=ROOT, env=head.environment, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(logical_rows(tmp_path / "d")) == 24


def test_workers_talk_to_the_server_that_the_driver_is_configured_with(
    head: Head, s3_server: s3.S3Server, bucket: str, tmp_path: Path
) -> None:
    """The cluster's own processes have the credentials, but do not know the endpoint."""
    configured = {**head.environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3_server.port}", "AWS_REGION": s3.REGION}
    assert "AWS_ENDPOINT_URL" not in head.environment
    root = f"s3://{bucket}/d"
    command = [sys.executable, "jobs/score.py", "-o", root, "--address", head.address, *ARGS]
    done = subprocess.run(command, cwd=ROOT, env=configured, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"dataset: {root}\n" in done.stdout
    assert len(logical_rows(s3.uri(bucket, "d", s3_server.port))) == 24


def test_an_unreachable_cluster_is_one_line_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "jobs/score.py", "-o", str(tmp_path / "d"), "--address", f"127.0.0.1:{free_port()}", *ARGS]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(tmp_path / "home"), capture_output=True, text=True, timeout=LIMIT_SECONDS
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: no Ray cluster at 127.0.0.1:")
    assert "(Connection refused)" in done.stderr, "Ray was asked, which tries for a minute"
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "d").exists()
