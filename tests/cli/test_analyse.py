"""`naswot-ray analyse`."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from naswot_ray.analysis.tables import ANALYSIS, STABILITY
from tests.cli.conftest import MAP
from tests.cli.running import naswot_process, prints, refuses
from tests.dataset.making import snapshot


@pytest.fixture
def joined(root: Path, accuracies: Path) -> Path:
    prints("join", root, "--accuracies", accuracies, *MAP)
    return root


def test_what_is_printed_and_written(joined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = snapshot(joined)
    output = prints("analyse", joined)
    assert snapshot(joined) == before
    lines = output.splitlines()
    assert lines[0] == "nasbench201, cifar10 test after 200 epochs; noise, batch size 8"
    assert lines[1].startswith("Published tau of naswot: 0.574 (about 1,000 random networks, batch size 128; Mellor")
    assert lines[3].split() == ["naswot", "-1.000", "[-1.000,", "-1.000]", "-", "-", "-1.000", "2", "8", "0", "0"]
    assert [line.split()[0] for line in lines[4:9]] == ["naswot_paper", "params", "FLOPs", "ReLU", "layers"]
    assert "nasbench201: no joined row has a value of expressivity, meco, naswot_layerwise, swap" in lines
    written = tmp_path / "d-analysis"
    assert f"accuracy: mean over repeats. All tables: {written / 'analysis.md'}" in output
    assert sorted(path.name for path in written.iterdir()) == ["analysis.md", "analysis.parquet", "stability.parquet"]
    assert pq.read_schema(written / "analysis.parquet").equals(ANALYSIS)
    assert pq.read_schema(written / "stability.parquet").equals(STABILITY)
    assert (written / "analysis.md").read_text().startswith(f"# Analysis of {joined}\n")


def test_again_gives_the_same_files(joined: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prints("analyse", joined, "-o", out)
    first = snapshot(out)
    prints("analyse", joined, "-o", out)
    assert snapshot(out) == first


def test_what_is_there_is_not_lost(joined: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prints("analyse", joined, "-o", out)
    message = refuses(tmp_path, "analyse", joined, "-o", out, "--repeats", "max")
    assert message == f"error: {out} holds the analysis of {joined}, mean over repeats; name another folder with --output"
    other = tmp_path / "other"
    other.mkdir()
    (other / "analysis.md").write_text("mine")
    message = refuses(tmp_path, "analyse", joined, "-o", other)
    assert message == f"error: {other} is not empty and holds no analysis; name another folder with --output"


def test_before_a_join(root: Path, tmp_path: Path) -> None:
    message = refuses(tmp_path, "analyse", root, "-o", tmp_path / "out")
    assert f"has no joined rows: run `naswot-ray join {root}` first" in message


def test_a_dataset_that_is_not_there(tmp_path: Path) -> None:
    assert "nowhere does not exist" in refuses(tmp_path, "analyse", tmp_path / "nowhere", "-o", tmp_path / "out")


def test_in_a_process(joined: Path, tmp_path: Path) -> None:
    done = naswot_process("analyse", joined, "-o", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
