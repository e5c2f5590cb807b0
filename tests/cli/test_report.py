"""`naswot-ray report`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import prints, refuses
from tests.report.pages import make_joined


@pytest.fixture
def joined(tmp_path: Path) -> Path:
    return Path(make_joined(tmp_path / "d").storage.root)


def test_a_report_is_written_once(joined: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert prints("report", joined, "-o", page).startswith(f"{page}: 4.")
    assert page.read_text().startswith("<!doctype html>")
    assert refuses(tmp_path, "report", joined, "-o", page) == f"error: {page} exists; name another file or remove it"


def test_a_report_that_starts_with_another_measure(joined: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    prints("report", joined, "-o", page, "--measure", "meco")
    assert '"start":{"x":"meco_8",' in page.read_text()
    message = refuses(tmp_path, "report", joined, "-o", tmp_path / "other.html", "--measure", "mood")
    assert message.startswith(f"error: {joined} has no measure 'mood'; it has naswot, naswot_paper, ")


def test_a_report_of_no_dataset(tmp_path: Path) -> None:
    assert "does not exist" in refuses(tmp_path, "report", tmp_path / "none", "-o", tmp_path / "report.html")
