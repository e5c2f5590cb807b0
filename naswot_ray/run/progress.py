"""What a run shows while it goes on: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress

from naswot_ray.run.worker import Receipt

LINE_SECONDS = 5.0


class Progress(Protocol):
    """What the driver tells of its work."""

    def begin(self) -> None:
        """The first worker has started and gets its first task."""

    def advance(self, table: str, receipt: Receipt) -> None:
        """A task of a table is done."""

    def note(self, message: str) -> None:
        """Something out of the ordinary happened."""

    def tick(self) -> None:
        """Time has passed."""


class Rate:
    """Rows per second and seconds left. Rows come in whole shards, so the rate is that up to the last of them.

    Args:
        total: rows to do.
        clock: monotonic seconds.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self._clock = clock
        self._started = self._last = clock()

    def begin(self) -> None:
        """Count time from now on."""
        self._started = self._last = self._clock()

    def advance(self, rows: int) -> None:
        """Rows are written."""
        self.done += rows
        self._last = self._clock()

    def __str__(self) -> str:
        if not self.done or self._last <= self._started:
            return f"{self.done}/{self.total} rows"
        per_second = self.done / (self._last - self._started)
        left = (self.total - self.done) / per_second - (self._clock() - self._last)
        return f"{self.done}/{self.total} rows, {per_second:.1f} rows/s, {_duration(max(left, 0))} left"


class ConsoleProgress:
    """Progress of score rows on the standard error, as a context manager.

    Args:
        total: score rows to do.
        console: where to; its `is_terminal` decides between bar and lines.
        clock: monotonic seconds.
    """

    def __init__(self, total: int, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._rate = Rate(total, clock)
        self._last_line = clock()
        self._bar: RichProgress | None = None
        self._bar_task = TaskID(0)
        if self._console.is_terminal:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
            self._bar = RichProgress(*columns, console=self._console)
            self._bar_task = self._bar.add_task("scores", total=total, rate="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()
        elif self._rate.done:
            self._line()

    def begin(self) -> None:
        self._rate.begin()

    def advance(self, table: str, receipt: Receipt) -> None:
        if table == "scores":
            self._rate.advance(receipt.rows)
            self.tick()

    def note(self, message: str) -> None:
        self._console.print(message, style="yellow", highlight=False, markup=False, soft_wrap=True)

    def tick(self) -> None:
        if self._bar:
            left = str(self._rate).partition(", ")[2]
            self._bar.update(self._bar_task, completed=self._rate.done, rate=left)
        elif self._clock() - self._last_line >= LINE_SECONDS:
            self._line()

    def _line(self) -> None:
        self._last_line = self._clock()
        self._console.print(str(self._rate), highlight=False, markup=False, soft_wrap=True)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
