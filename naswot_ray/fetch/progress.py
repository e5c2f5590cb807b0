"""Shows the progress of a download: a bar on a terminal, or a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as RichProgress

from naswot_ray.terminal import Terminal

LINE_SECONDS = 5.0
"""Seconds between two lines."""


class ConsoleFetchProgress:
    """A context manager that shows progress on standard error.

    Args:
        console: the console to print on. Its `is_terminal` decides between a bar and lines.
        clock: returns monotonic seconds.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Terminal(stderr=True)
        self._clock = clock
        self._name = ""
        self._total: int | None = None
        self._bar: RichProgress | None = None
        self._begun_at = self._last_line = 0.0
        self._begun_with = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end_bar()

    def begin(self, name: str, total: int | None, done: int) -> None:
        """Print the size of a file, once for each name, and show its progress from now on."""
        self._end_bar()
        if name != self._name:
            size = "of unknown size" if total is None else decimal(total)
            self.note(f"{name}: {size}{f', {decimal(done)} of it already downloaded' if done else ''}")
        self._name, self._total, self._begun_with = name, total, done
        self._begun_at = self._last_line = self._clock()
        if self._console.is_terminal:
            columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
            self._bar = RichProgress(TextColumn("{task.description}", markup=False), *columns, console=self._console)
            self._bar.add_task(name, total=total, completed=done)
            self._bar.start()

    def update(self, done: int) -> None:
        """Show how many bytes exist now."""
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=done)
        elif self._clock() - self._last_line >= LINE_SECONDS:
            self._last_line = self._clock()
            per_second = (done - self._begun_with) / (self._last_line - self._begun_at)
            of = "" if self._total is None else f" of {decimal(self._total)}"
            self.note(f"{self._name}: {decimal(done)}{of}, {decimal(round(per_second))}/s")

    def reader(self, name: str) -> Callable[[int, int], None]:
        """A callback for a reader, called with the bytes read so far and in total. Nothing is shown before the first call."""

        def show(done: int, total: int) -> None:
            if self._name != name:
                self.begin(name, total, 0)
            self.update(done)

        return show

    def note(self, message: str) -> None:
        """Print a line."""
        self._console.print(message, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def _end_bar(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None
