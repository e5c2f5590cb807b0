"""The golden scores are what the present code gives, within what processors may differ by."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import golden
from bench.samples import SPACES, samples

NUM = 1
"""Networks of each space that are scored here; `python -m bench.golden compare` scores all."""


@pytest.mark.parametrize("space", SPACES)
def test_golden_scores_have_not_moved(space: str) -> None:
    for difference in golden.compare(golden.read(golden.FILE, space, NUM)):
        assert difference.tolerated, difference


def test_the_file_has_200_networks_of_each_space() -> None:
    for space in SPACES:
        rows = golden.read(golden.FILE, space)
        assert len({row.arch_id for row in rows}) == 200
        assert [(row.arch_id, row.engine) for row in rows[:4]] == [
            (sample.arch_id, engine) for sample in samples(space, 2) for engine in golden.ENGINES
        ]
        for exact, fast in zip(rows[::2], rows[1::2], strict=True):
            assert exact.num_units == fast.num_units
            assert math.isinf(exact.naswot) == math.isinf(fast.naswot)
    assert golden.FILE.stat().st_size < 300_000


def test_a_score_that_moved_is_told(tmp_path: Path) -> None:
    file = tmp_path / "golden.parquet"
    rows = [found for _, found in golden.compute("nasbench201", 1)]
    golden.write(file, rows)
    same = CliRunner().invoke(golden.app, ["compare", str(file), "--space", "nasbench201"])
    assert (same.exit_code, same.stdout) == (0, "nasbench201: 0 differences in 2 scores so far\n")
    last_bit = replace(rows[0], naswot=math.nextafter(rows[0].naswot, 0))
    golden.write(file, [last_bit, replace(rows[1], naswot_paper=rows[1].naswot_paper + 1)])
    moved = CliRunner().invoke(golden.app, ["compare", str(file), "--space", "nasbench201"])
    assert moved.exit_code == 1
    assert moved.stdout.splitlines() == [
        f"nasbench201 {rows[0].arch_id} exact: naswot {last_bit.naswot!r} -> {rows[0].naswot!r}",
        f"nasbench201 {rows[0].arch_id} fast: naswot_paper {rows[1].naswot_paper + 1!r} -> {rows[1].naswot_paper!r}"
        " (beyond the tolerance)",
        "nasbench201: 2 differences in 2 scores so far",
    ]


def test_neither_an_infinite_score_nor_a_number_of_units_has_a_tolerance() -> None:
    network, score = next(golden.compute("nasbench201", 1))
    infinite = replace(score, naswot_paper=-math.inf)
    assert golden.is_tolerated(infinite, infinite, network)
    assert not golden.is_tolerated(infinite, score, network)
    assert not golden.is_tolerated(score, infinite, network)
    assert not golden.is_tolerated(score, replace(score, num_units=score.num_units + 1), network)


def test_a_file_without_the_space_or_of_other_networks_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "golden.parquet"
    golden.write(file, [replace(row, arch_id="other") for _, row in golden.compute("nasbench201", 1)])
    lacking = CliRunner().invoke(golden.app, ["compare", str(file), "--space", "nats_sss"])
    assert lacking.exit_code == 2
    assert lacking.stderr == f"{file} has no scores of 'nats_sss'\n"
    with pytest.raises(ValueError, match=r"the file has other by exact where .* by exact comes next"):
        list(golden.compare(golden.read(file, "nasbench201")))
