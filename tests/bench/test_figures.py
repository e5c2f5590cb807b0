"""The conclusions that the harness draws from its measurements."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.fidelity import Comparison, print_table
from bench.report import Measurement, plot, print_tables, summarise, write_measurements, write_summary

GOOD = Comparison("s", "a", 8, 10.0, 10.0005, 9.0, 9.0, True, 0.0)
SINGULAR = replace(GOOD, exact=-math.inf, engine=-math.inf, exact_paper=-math.inf, engine_paper=-math.inf)
MEASURED = Measurement("s", 32, 0, "a", "published", 0, cpu_seconds=2.0, wall_seconds=3.0, gflop=10.0, stages={})


class TestFidelity:
    @pytest.mark.parametrize(
        "bad",
        [
            replace(GOOD, engine=10.002),
            replace(GOOD, engine_paper=9.002),
            replace(GOOD, engine=math.nan),
            replace(GOOD, engine=-math.inf),
            replace(GOOD, engine=math.inf),
            replace(SINGULAR, engine=10.0),
            replace(SINGULAR, engine_paper=9.0),
            replace(GOOD, num_units_agree=False),
        ],
    )
    def test_what_is_wrong_is_found(self, bad: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
        assert print_table([GOOD, bad, SINGULAR, replace(GOOD, exact=11.0, engine=11.0)], 1e-3) == [bad]
        assert "| s | 4 |" in capsys.readouterr().out

    def test_a_space_of_singular_kernels(self) -> None:
        assert print_table([SINGULAR, SINGULAR], 1e-3) == []


class TestReport:
    def measured(self) -> list[Measurement]:
        """Times of the published procedure for the first network only, and of an engine, twice as fast, for two networks."""
        fast = replace(MEASURED, engine="fast", cpu_seconds=1.0, wall_seconds=0.5, stages={"gemm": 0.3, "codes": 0.1})
        return [MEASURED, fast, replace(fast, network=1, arch_id="b", cpu_seconds=4.0, stages={"gemm": 0.3, "codes": 0.1})]

    def test_ratio_over_the_networks_that_both_ran_on(self) -> None:
        published, fast = summarise(self.measured(), {("s", 32, "fast"): {"peak_mib": 7.0}}, 20.0, on_wall=False)
        assert (published.ratio, fast.ratio) == (1.0, 2.0)
        assert (fast.num, fast.cpu_mean, fast.gflops, fast.share_of_peak) == (2, 2.5, 4.0, 0.2)
        assert (published.peak_mib, fast.peak_mib) == (None, 7.0)
        assert fast.stages == pytest.approx({"gemm": 0.6, "codes": 0.2, "rest": 0.2})
        assert summarise(self.measured(), {}, 20.0, on_wall=True)[1].ratio == 6.0

    def test_files(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        summaries = summarise(self.measured(), {}, 20.0, on_wall=False)
        print_tables(summaries, 20.0, on_wall=False)
        assert "gemm 60%, codes 20%, rest 20%" in capsys.readouterr().out
        write_measurements(self.measured(), tmp_path, {"machine": "m"})
        write_summary(summaries, tmp_path, {"machine": "m"})
        plot(summaries, tmp_path / "ratio.svg")
        rows = pq.read_table(tmp_path / "measurements.parquet").to_pylist()
        assert [dict(row["stages"]) for row in rows] == [{}, {"gemm": 0.3, "codes": 0.1}, {"gemm": 0.3, "codes": 0.1}]
        assert pq.read_table(tmp_path / "summary.parquet")["ratio"].to_pylist() == [1.0, 2.0]
        assert pq.read_schema(tmp_path / "summary.parquet").metadata[b"machine"] == b"m"
        assert (tmp_path / "ratio.svg").stat().st_size
