"""Groups refer to tests that exist: after a file is renamed, its rule would otherwise be lost unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import scheduling
from tests.parity import test_parity

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("beginning", [*scheduling._TOGETHER, *scheduling._APART])
def test_rules_are_about_files_that_exist(beginning: str) -> None:
    assert (ROOT / beginning.partition("::")[0]).exists()


@pytest.mark.parametrize("beginning", scheduling._FIRST)
def test_long_groups_exist(beginning: str) -> None:
    assert beginning in scheduling._TOGETHER.values() or (ROOT / beginning).exists()


def test_groups() -> None:
    group_of = scheduling.group_of
    assert group_of("tests/faults/sandbox/test_nodes.py::test_a") == "sandbox"
    assert group_of("tests/faults/test_kill.py::test_b[9]") == group_of("tests/faults/test_clock.py::test_c") == "faults"
    assert group_of("tests/e2e/test_job_submit.py::test_c") == "e2e"
    assert group_of("tests/cli/test_query.py::TestD::test_e[a::b]") == "tests/cli/test_query.py"
    vectors = "tests/parity/test_parity.py::test_published_score["
    assert hasattr(test_parity, "test_published_score")
    assert group_of(f"{vectors}order_keyed-nds-ENAS-fix-1-16]") == f"{vectors}order_keyed-nds"
    assert group_of("tests/parity/test_parity.py::test_max_n") == "tests/parity/test_parity.py"
