"""Runs the real command in a process of its own, and finds its Ray actors in order to kill them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]

LIMIT_SECONDS = 240.0
"""A time limit for what takes seconds on a machine that is not busy."""

# A shell starts background jobs with SIGINT ignored, and children inherit that; a person's terminal does not do so.
_PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from naswot_ray.cli import main
main()
"""


def environment(home: Path) -> dict[str, str]:
    """The environment of a new user. Ray writes its token to HOME, and with a token there later commands would ask for one."""
    home.mkdir(exist_ok=True)
    ray = {
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_prestart_worker_first_driver": "0",  # each takes a second of a processor, and most drivers here have one actor
    }
    return {**os.environ, **ray, "HOME": str(home), "COLUMNS": "200"}


def start(home: Path, *args: str) -> subprocess.Popen[str]:
    """Start `naswot-ray` with these arguments."""
    command = [sys.executable, "-c", _PROGRAM, *args]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: subprocess.Popen[str], timeout: float = LIMIT_SECONDS) -> tuple[int, str]:
    """Wait for a process. Return its exit status and everything it printed."""
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"still running after {timeout} s:\n{output}") from None
    return process.returncode, output


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], timeout: float = LIMIT_SECONDS) -> None:
    """Wait until a running process has done something."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert process.poll() is None, f"ended too early:\n{process.communicate()[0]}"
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def actors(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Find the scoring actors among what a process has started.

    The process is a driver with a Ray of its own, or a head node. Ray calls the actors `ray::Worker...`.
    """
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if child.cmdline() and child.cmdline()[0].startswith("ray::Worker"):
                found.append(child)
        except psutil.Error:  # the process ended while we looked
            continue
    return found


@contextlib.contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """Keep a process stopped meanwhile, as Ctrl-Z does."""
    process.suspend()
    try:
        yield
    finally:
        process.resume()
