"""What a run shows while it works: a progress bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from naswot_ray.run.receipt import Receipt, RunTable
from naswot_ray.terminal import Terminal

LINE_SECONDS: Final = 5.0
"""Seconds between two lines where there is no bar."""

WINDOW_SECONDS: Final = 300.0
"""Seconds that the rate is measured over: long enough for all batch sizes of a range, short enough to follow the machine."""

LONGEST_WINDOW: Final = 1800.0
"""The longest time to measure the rate over, for results that come far apart. A worker reports at least every ten minutes."""

PAUSES: Final = 3
"""A window is at least this many times as long as its longest pause between results, up to `LONGEST_WINDOW`.

Otherwise the rate would jump when many workers report at once.
"""

BIN_SECONDS: Final = 1.0
"""Results that are fewer seconds apart are kept as one, so that a window holds only a few."""


class RunProgress(Protocol):
    """What the driver reports its work to."""

    def begin(self) -> None:
        """The first worker has started and is about to get its first task."""

    def advance(self, table: RunTable, receipt: Receipt) -> None:
        """A task is done; its rows belong to `table`."""

    def note(self, message: str) -> None:
        """Something unusual happened that people should know of."""

    def tick(self) -> None:
        """Time has passed; called again and again while the run works."""


class Rate:
    """How many rows are done, how many a second, and how long the rest will take.

    The rate is measured over the last minutes, so that it follows a machine whose load changes. The window is the last
    `WINDOW_SECONDS` before the last result, or longer where results come far apart. Results come in whole shards, so the time
    since the last result does not count.

    Args:
        total: how many rows to do.
        clock: returns monotonic seconds.
        counted: text before and after the numbers, which says what is counted.
    """

    def __init__(
        self, total: int, clock: Callable[[], float] = time.monotonic, counted: tuple[str, str] = ("", " rows")
    ) -> None:
        self.total = total
        self.done = 0
        self._clock = clock
        self._before, self._behind = counted
        self._results = deque([(clock(), 0)])  # (time, rows done by then) of each result; the first entry is the start
        self._since = "the start"
        self._all_there = True  # whether the first entry is still the start

    def begin(self, since: str = "the start") -> None:
        """Start measuring time now; `since` is the name of this moment."""
        self._since = since
        self._results = deque([(self._clock(), self.done)])
        self._all_there = True

    def advance(self, rows: int) -> None:
        """Count more rows as done."""
        self.done += rows
        self.total = max(self.total, self.done)  # rows that had vanished are done again
        now = self._clock()
        if len(self._results) > 2 and now - self._results[-2][0] < BIN_SECONDS:
            self._results.pop()
        self._results.append((now, self.done))
        while len(self._results) > 2 and now - self._results[1][0] >= LONGEST_WINDOW:
            self._results.popleft()
            self._all_there = False

    @property
    def pace(self) -> str:
        """Rows a second, the time this was measured over, and the time left. Empty while nothing is done."""
        began, ended, done = self._window()
        if not done or ended <= began:
            return ""
        per_second = done / (ended - began)
        since = self._clock() - ended
        left = (self.total - self.done) / per_second - since
        of = (
            f"since {self._since}"
            if self._all_there and began == self._results[0][0]
            else f"in the last {_span(ended - began)}"
        )
        pace = f"{per_second:,.1f} rows/s {of}"
        if self.done >= self.total:
            return pace
        return f"{pace}, {_duration(left)} left" if left > 0 else f"{pace}, nothing new for {_duration(since)}"

    def __str__(self) -> str:
        return ", ".join(filter(None, [f"{self._before}{self.done:,}/{self.total:,}{self._behind}", self.pace]))

    def _window(self) -> tuple[float, float, int]:
        """When the window of the rate begins and ends, and how many rows were done in it."""
        results = list(self._results)
        ended, done = results[-1]
        longest_pause, first = 0.0, len(results) - 1
        while first and ended - results[first][0] < min(max(WINDOW_SECONDS, PAUSES * longest_pause), LONGEST_WINDOW):
            first -= 1
            longest_pause = max(longest_pause, results[first + 1][0] - results[first][0])
        return results[first][0], ended, done - results[first][1]


class ConsoleRunProgress:
    """Shows the progress of a run on the standard error. A context manager.

    A space's rows of the architectures table are written before its scores, and are shown separately.

    Args:
        total: how many rows of the scores table there are to do.
        console: where to show it: a bar if it `is_terminal`, else lines. Default: the standard error.
        clock: returns monotonic seconds.
        num_architectures: how many rows of the architectures table there are to do.
    """

    def __init__(
        self,
        total: int,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
        num_architectures: int = 0,
    ) -> None:
        self._console = console or Terminal(stderr=True)
        self._clock = clock
        self._rate = Rate(total, clock)
        self._architectures = Rate(num_architectures, clock, ("architectures ", ""))
        self._last_line = clock()
        self._bar: Progress | None = None
        self._bars: list[tuple[TaskID, Rate]] = []
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
            self._bar = Progress(*columns, console=self._console)
            for name, rate in (("architectures", self._architectures), ("scores", self._rate)):
                if rate.total or rate is self._rate:
                    self._bars.append((self._bar.add_task(name, total=rate.total, rate=""), rate))

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()
        elif self._rate.done or self._architectures.done:
            self._line()

    def begin(self) -> None:
        for rate in (self._architectures, self._rate):
            rate.begin()

    def advance(self, table: RunTable, receipt: Receipt) -> None:
        if table == "scores":
            self._rate.advance(receipt.rows)
        elif self._architectures.total:
            self._architectures.advance(receipt.rows)
            if not self._rate.done:  # nothing is scored yet, so the time until now does not count for the scores
                self._rate.begin("scoring began")
        self.tick()

    def note(self, message: str) -> None:
        self._console.print(message, style="yellow", highlight=False, markup=False, soft_wrap=True)

    def tick(self) -> None:
        if self._bar:
            for task, rate in self._bars:
                self._bar.update(task, completed=rate.done, rate=rate.pace)
        elif self._clock() - self._last_line >= LINE_SECONDS:
            self._line()

    def _line(self) -> None:
        self._last_line = self._clock()
        shown = [self._rate] if self._rate.total else []
        if not shown or self._architectures.done < self._architectures.total:
            shown.insert(0, self._architectures)
        text = "; ".join(map(str, shown))
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def _span(seconds: float) -> str:
    """A length of time: `40 s`, `5 min`."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
