"""A progress that records what it is told."""

from __future__ import annotations


class Recorded:
    """Records what a download reports.

    Attributes:
        begun: name, total and done of each `begin`.
        done: the argument of the last `update`.
        notes: every note.
    """

    def __init__(self) -> None:
        self.begun: list[tuple[str, int | None, int]] = []
        self.done = 0
        self.notes: list[str] = []

    def begin(self, name: str, total: int | None, done: int) -> None:
        self.begun.append((name, total, done))

    def update(self, done: int) -> None:
        self.done = done

    def note(self, message: str) -> None:
        self.notes.append(message)
