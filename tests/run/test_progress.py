"""What a run prints while it goes on."""

from __future__ import annotations

import io

from rich.console import Console

from naswot_ray.run.progress import LINE_SECONDS, ConsoleProgress, Rate
from naswot_ray.run.worker import Receipt


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
    assert str(rate) == "20/100 rows, 2.0 rows/s, 0:00:40 left"
    clock.now = 45
    assert str(rate) == "20/100 rows, 2.0 rows/s, 0:00:35 left"
    clock.now = 500
    assert str(rate).endswith("0:00:00 left")


def test_outside_of_a_terminal_there_is_a_line_every_few_seconds() -> None:
    clock, out = Clock(), io.StringIO()
    with ConsoleProgress(1000, Console(file=out, force_terminal=False), clock) as progress:
        for second in range(1, 61):
            clock.now = second
            progress.advance("scores", Receipt({"ok": 8, "failed": 1}, skipped=1))
    lines = out.getvalue().splitlines()
    assert len(lines) == 60 // LINE_SECONDS + 1
    assert lines[-1] == "600/1000 rows, 10.0 rows/s, 0:00:40 left"


def test_rows_of_the_architectures_table_are_not_counted_as_scores() -> None:
    out = io.StringIO()
    with ConsoleProgress(10, Console(file=out, force_terminal=False), Clock()) as progress:
        progress.advance("architectures", Receipt({"ok": 5}))
    assert out.getvalue() == ""


def test_on_a_terminal_there_is_a_bar() -> None:
    clock, out = Clock(), io.StringIO()
    with ConsoleProgress(10, Console(file=out, force_terminal=True, width=100), clock) as progress:
        clock.now = 2
        progress.advance("scores", Receipt({"ok": 5}))
        progress.note("something happened")
    assert "5/10" in out.getvalue()
    assert "2.5 rows/s" in out.getvalue()
    assert "something happened" in out.getvalue()
