"""`--push`: the Hub gets exactly the files in the folder."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from naswot_ray.dataset.dataset import Dataset
from naswot_ray.errors import PublishError
from naswot_ray.publish.upload import check_ready, upload
from tests.cli.running import naswot_process, refuses
from tests.publish.hub import TOKEN, Hub

pytest.importorskip("huggingface_hub")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub().running() as server:
        yield server


def test_the_folder_arrives_as_one_commit(dataset: Dataset, tmp_path: Path, hub: Hub) -> None:
    before = {"data/nasbench201/scores-00000-of-00002.parquet": b"of an earlier one", "notes.md": b"mine"}
    hub.repositories["someone/scores"] = dict(before)
    done = naswot_process(
        "publish", dataset.storage.root, "-o", tmp_path / "out", "--push", "someone/scores", **hub.environment
    )
    assert done.returncode == 0, done.stderr + str(hub.requests)
    assert f"uploaded: {hub.endpoint}/datasets/someone/scores/commit/" in done.stdout
    files = {str(path.relative_to(tmp_path / "out")): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    arrived = {name: path.read_bytes() for name, path in files.items()}
    assert hub.repositories == {"someone/scores": arrived | {"notes.md": b"mine"}}
    assert hub.large, "data files go by LFS"
    assert sum("/commit/" in request for request in hub.requests) == 1
    assert "hf://datasets/someone/scores/data/nasbench201/scores-*.parquet" in (tmp_path / "out" / "README.md").read_text()


def test_a_refusal_is_told_and_the_folder_stays(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.refusing = True
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (tmp_path / "README.md").write_text("a card")
    with pytest.raises(PublishError) as caught:
        upload(tmp_path, "someone/scores")
    assert re.fullmatch(
        f"cannot upload {tmp_path} to someone/scores: .*403.*; it is whole, and can be uploaded by hand", str(caught.value)
    )
    assert "POST /api/repos/create" in hub.requests
    assert (tmp_path / "README.md").exists()


@pytest.mark.parametrize(
    ("repository", "token", "words"),
    [
        ("scores", TOKEN, "expected OWNER/NAME"),
        ("some one/scores", TOKEN, "expected OWNER/NAME"),
        ("someone/scores", "", "set HF_TOKEN"),
    ],
)
def test_what_would_fail_at_the_end_is_told_before_any_work(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: str, token: str, words: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("HF_TOKEN", token)
    assert words in refuses(tmp_path, "publish", dataset.storage.root, "-o", tmp_path / "out", "--push", repository)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(PublishError, match=r"pip install 'naswot-ray\[publish\]'"):
        check_ready("someone/scores")
