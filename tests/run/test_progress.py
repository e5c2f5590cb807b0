"""What a run prints while it works."""

from __future__ import annotations

import io

from rich.console import Console

from naswot_ray.run.progress import LINE_SECONDS, ConsoleRunProgress, Rate
from naswot_ray.run.receipt import Receipt


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rate_and_time_left_count_from_the_last_finished_shard() -> None:
    clock = Clock()
    rate = Rate(100, clock)
    assert str(rate) == "0/100 rows"
    clock.now = 30  # the workers took that long to start
    rate.begin()
    clock.now = 40
    rate.advance(20)
    assert str(rate) == "20/100 rows, 2.0 rows/s since the start, 0:00:40 left"
    clock.now = 45
    assert str(rate) == "20/100 rows, 2.0 rows/s since the start, 0:00:35 left"
    clock.now = 500  # a run that is not at its end never has "0:00:00 left"
    assert str(rate) == "20/100 rows, 2.0 rows/s since the start, nothing new for 0:07:40"


def run(rate: Rate, clock: Clock, *, seconds: int, every: int, rows: int) -> str:
    """What is shown at the end, after results of this many rows at intervals of seconds."""
    for _ in range(seconds // every):
        clock.now += every
        rate.advance(rows)
    return str(rate)


def test_the_rate_is_that_of_the_last_minutes() -> None:
    clock = Clock()
    rate = Rate(1_000_000, clock)
    assert run(rate, clock, seconds=36_000, every=10, rows=100).endswith("10.0 rows/s in the last 5 min, 17:46:40 left")
    # The machine gets other work to do; five minutes later the rate shows it.
    assert run(rate, clock, seconds=300, every=10, rows=10).endswith("1.0 rows/s in the last 5 min, 177:41:40 left")
    assert run(rate, clock, seconds=300, every=10, rows=200).startswith("366,300/1,000,000 rows, 20.0 rows/s in the last 5 min")


def test_workers_that_report_all_at_once_do_not_make_the_rate_jump() -> None:
    clock = Clock()
    rate = Rate(1_000_000, clock)
    for _ in range(20):  # four workers, shards of ten minutes
        clock.now += 597
        for _ in range(4):
            clock.now += 1
            rate.advance(300)
            if clock.now > 1900:
                assert 1.4 < float(rate.pace.partition(" ")[0]) < 2.6, "1,200 rows in 601 s"
        clock.now -= 1


def test_after_a_long_stop_the_rate_is_that_of_the_work() -> None:
    clock = Clock()
    rate = Rate(1_000_000, clock)
    run(rate, clock, seconds=3600, every=10, rows=100)
    clock.now += 8 * 3600  # a laptop that slept
    assert run(rate, clock, seconds=1800, every=10, rows=100).partition(", ")[2].startswith("10.0 rows/s in the last")


def test_rows_that_had_vanished_do_not_make_more_than_all() -> None:
    clock = Clock()
    rate = Rate(10, clock)
    for rows in (10, 2):
        clock.now += 4
        rate.advance(rows)
    assert str(rate) == "12/12 rows, 1.5 rows/s since the start"


def test_many_results_are_kept_as_few() -> None:
    clock = Clock()
    rate = Rate(10**9, clock)
    for _ in range(100_000):
        clock.now += 0.05
        rate.advance(1)
    assert len(rate._results) < 2000
    assert rate.pace.startswith("20.0 rows/s in the last 5 min")


def test_outside_of_a_terminal_there_is_a_line_every_few_seconds() -> None:
    clock, out = Clock(), io.StringIO()
    with ConsoleRunProgress(1000, Console(file=out, force_terminal=False), clock) as progress:
        for second in range(1, 61):
            clock.now = second
            progress.advance("scores", Receipt({"ok": 8, "failed": 1}, skipped=1))
    lines = out.getvalue().splitlines()
    assert len(lines) == 60 // LINE_SECONDS + 1
    assert lines[-1] == "600/1,000 rows, 10.0 rows/s since the start, 0:00:40 left"


def test_rows_of_the_architectures_table_are_not_counted_as_scores() -> None:
    out = io.StringIO()
    with ConsoleRunProgress(10, Console(file=out, force_terminal=False), Clock()) as progress:
        progress.advance("architectures", Receipt({"ok": 5}))
    assert out.getvalue() == ""


def test_the_architectures_table_is_a_phase_of_its_own() -> None:
    clock, out = Clock(), io.StringIO()
    with ConsoleRunProgress(423_624, Console(file=out, force_terminal=False), clock, num_architectures=423_624) as progress:
        progress.begin()
        clock.now = 6
        progress.advance("architectures", Receipt({"ok": 12_000}))
        clock.now = 206
        progress.advance("architectures", Receipt({"ok": 411_624}))
        clock.now = 306
        progress.advance("scores", Receipt({"ok": 1000}))
    listing, listed, scoring = (line for i, line in enumerate(out.getvalue().splitlines()) if i < 3)
    assert listing == "architectures 12,000/423,624, 2,000.0 rows/s since the start, 0:03:26 left; 0/423,624 rows"
    assert listed == "0/423,624 rows"
    assert scoring.startswith("1,000/423,624 rows, 10.0 rows/s since scoring began, 11:44:22 left")


def test_a_run_that_adds_architectures_alone_tells_of_them() -> None:
    clock, out = Clock(), io.StringIO()
    with ConsoleRunProgress(0, Console(file=out, force_terminal=False), clock, num_architectures=5) as progress:
        clock.now = 1
        progress.advance("architectures", Receipt({"ok": 5}))
    assert out.getvalue() == "architectures 5/5, 5.0 rows/s since the start\n"


def test_a_bar_has_both_phases() -> None:
    clock, out = Clock(), io.StringIO()
    with ConsoleRunProgress(20, Console(file=out, force_terminal=True, width=120), clock, num_architectures=10) as progress:
        clock.now = 2
        progress.advance("architectures", Receipt({"ok": 8}))
    assert "architectures" in out.getvalue()
    assert "8/10" in out.getvalue()
    assert "4.0 rows/s since the start" in out.getvalue()


def test_on_a_terminal_there_is_a_bar() -> None:
    clock, out = Clock(), io.StringIO()
    with ConsoleRunProgress(10, Console(file=out, force_terminal=True, width=100), clock) as progress:
        clock.now = 2
        progress.advance("scores", Receipt({"ok": 5}))
        progress.note("something happened")
    assert "5/10" in out.getvalue()
    assert "2.5 rows/s" in out.getvalue()
    assert "something happened" in out.getvalue()
