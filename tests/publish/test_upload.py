"""`--push`: what arrives at the Hub is what lies in the folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from naswot_ray.dataset.opening import Dataset
from tests.cli.running import check_refusal, naswot_process
from tests.publish.hub import Hub

pytest.importorskip("huggingface_hub")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub().running() as server:
        yield server


def test_the_folder_arrives_as_one_commit(dataset: Dataset, tmp_path: Path, hub: Hub) -> None:
    done = naswot_process(
        "publish", dataset.storage.root, "-o", tmp_path / "out", "--push", "someone/scores", **hub.environment
    )
    assert done.returncode == 0, done.stderr + str(hub.requests)
    assert f"uploaded: {hub.endpoint}/datasets/someone/scores/commit/" in done.stdout
    files = {str(path.relative_to(tmp_path / "out")): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert hub.repositories == {"someone/scores": {name: path.read_bytes() for name, path in files.items()}}
    assert hub.large, "data files go by LFS"
    assert sum("/commit/" in request for request in hub.requests) == 1
    assert "hf://datasets/someone/scores/data/nasbench201/scores-*.parquet" in (tmp_path / "out" / "README.md").read_text()


def test_a_refusal_is_told_and_the_folder_stays(dataset: Dataset, tmp_path: Path, hub: Hub) -> None:
    hub.refusing = True
    done = naswot_process(
        "publish", dataset.storage.root, "-o", tmp_path / "out", "--push", "someone/scores", **hub.environment
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: cannot upload {tmp_path / 'out'} to someone/scores: ")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "out" / "SHA256SUMS").exists()


@pytest.mark.parametrize(
    ("repository", "environment", "words"),
    [
        ("scores", {"HF_TOKEN": "x"}, "expected OWNER/NAME"),
        ("someone/scores", {"HF_TOKEN": "", "HF_HOME": "none"}, "set HF_TOKEN"),
    ],
)
def test_what_would_fail_at_the_end_is_told_before_any_work(
    dataset: Dataset, tmp_path: Path, repository: str, environment: dict[str, str], words: str
) -> None:
    done = naswot_process("publish", dataset.storage.root, "-o", tmp_path / "out", "--push", repository, **environment)
    check_refusal(done.returncode, done.stdout, done.stderr)
    assert words in done.stderr
    assert not (tmp_path / "out").exists()
