"""Runs cases of the fuzzer. A case is a family and a number, so it can be repeated."""

from __future__ import annotations

import random
import shutil
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from naswot_ray.errors import NaswotError
from tests.fuzz.families import Family
from tests.fuzz.mutation import mutate

CASE_SECONDS = 20.0
"""Longer than any case takes on a busy machine. A case that takes longer hangs."""


@dataclass
class Counts:
    """The results of a family's cases.

    Attributes:
        outcomes: how many cases were refused, gave the same, or gave something else because the format cannot detect it.
        faults: the cases that went wrong, and how.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class _TooLongError(BaseException):
    """It is no `Exception`, which a parser might take for damage."""


class Fuzzer:
    """Damages one sound file of a family again and again.

    Args:
        family: the kind of file.
        folder: an empty folder to work in.
        seed: random seed of all damage.
    """

    def __init__(self, family: Family, folder: Path, seed: int) -> None:
        self.counts = Counts()
        self._family = family
        self._refusals: tuple[type[Exception], ...] = (NaswotError, *family.refusals)
        self._seed = seed
        self._number = 0
        self._original = folder / "original"
        self._original.mkdir(parents=True)
        self._path = family.make(self._original).relative_to(self._original)
        self._case = folder / "case"
        self._sound = (self._original / self._path).read_bytes()
        shutil.copytree(self._original, self._case)
        self._expected = family.read(self._case / self._path)

    def run(self, seconds: float) -> None:
        """Run cases for this long, but at least one."""
        end = time.monotonic() + seconds
        while True:
            self.run_case(self._number)
            self._number += 1
            if time.monotonic() >= end:
                return

    def run_case(self, number: int) -> None:
        """Run one case and count its outcome."""
        damaged = mutate(self._sound, random.Random(f"{self._seed} {self._family.name} {number}"))
        shutil.rmtree(self._case)
        shutil.copytree(self._original, self._case)
        (self._case / self._path).write_bytes(damaged)
        try:
            with _at_most(CASE_SECONDS):
                found = self._family.read(self._case / self._path)
        except self._refusals as error:
            self.counts.outcomes["refused"] += 1
            if "\n" in str(error) or not str(error):
                self._fault(number, f"a message of other than one line: {error!r}")
        except _TooLongError:
            self._fault(number, f"took more than {CASE_SECONDS:.0f} s")
        except Exception:
            self._fault(number, traceback.format_exc())
        else:
            same = found == self._expected
            self.counts.outcomes["same" if same else "something else"] += 1
            if not same and self._family.is_sealed:
                self._fault(number, "damage went unnoticed")

    def _fault(self, number: int, what: str) -> None:
        self.counts.faults.append(f"{self._family.name}, seed {self._seed}, case {number}: {what}")


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
