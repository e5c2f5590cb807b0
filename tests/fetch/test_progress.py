"""What a download prints while it runs."""

from __future__ import annotations

import io

from rich.console import Console

from naswot_ray.fetch.progress import LINE_SECONDS, ConsoleFetchProgress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_size_comes_first_and_once() -> None:
    out = io.StringIO()
    with ConsoleFetchProgress(Console(file=out, force_terminal=False)) as progress:
        progress.begin("a.bin", 522_767_376, 0)
        progress.begin("a.bin", 522_767_376, 1_000)
        progress.begin("b.bin", None, 0)
        progress.begin("c.bin", 10_000, 4_000)
    assert out.getvalue().splitlines() == [
        "a.bin: 522.8 MB",
        "b.bin: of unknown size",
        "c.bin: 10.0 kB, 4.0 kB of it already downloaded",
    ]


def test_outside_of_a_terminal_there_is_a_line_every_few_seconds() -> None:
    clock, out = Clock(), io.StringIO()
    with ConsoleFetchProgress(Console(file=out, force_terminal=False), clock) as progress:
        progress.begin("a.bin", 100_000_000, 40_000_000)
        for second in range(1, 31):
            clock.now = second
            progress.update(40_000_000 + 2_000_000 * second)
        progress.begin("b.bin", None, 0)
        clock.now += LINE_SECONDS
        progress.update(500_000)
    first, *lines = out.getvalue().splitlines()
    assert first.startswith("a.bin: 100.0 MB")
    assert len(lines) == 30 // LINE_SECONDS + 2
    assert lines[0] == "a.bin: 50.0 MB of 100.0 MB, 2.0 MB/s"
    assert lines[-1] == "b.bin: 500.0 kB, 100.0 kB/s"


def test_on_a_terminal_there_is_a_bar() -> None:
    out = io.StringIO()
    with ConsoleFetchProgress(Console(file=out, force_terminal=True, width=100)) as progress:
        progress.begin("a.bin", 10_000, 0)
        progress.update(5_000)
        progress.note("something happened")
        progress.begin("b.bin", None, 0)
        progress.update(7_000)
    assert "a.bin: 10.0 kB" in out.getvalue()
    assert "5.0/10.0 kB" in out.getvalue()
    assert "something happened" in out.getvalue()
    assert "7.0" in out.getvalue()
