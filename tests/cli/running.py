"""Runs the command line, either in this process or as users do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from typer.testing import CliRunner, Result

from naswot_ray.cli import EXIT_ERROR, app
from tests.dataset.making import snapshot


def naswot(*args: object) -> Result:
    """Run `naswot-ray` in this process. Anything other than a clean exit raises here, with its traceback."""
    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False, prog_name="naswot-ray")


def naswot_process(*args: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `naswot-ray` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from naswot_ray.cli import main; main()", *(str(arg) for arg in args)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


IN_TURN = r"""
import json, sys
from naswot_ray.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, f"{arguments} ended with {ended.code}"
    print("\0", end="", flush=True)
    print("\0", end="", flush=True, file=sys.stderr)
"""


def in_turn(commands: Iterable[Sequence[object]]) -> list[str]:
    """The command line of one process that runs several commands of `naswot-ray`, since starting a process takes a second.

    All commands must succeed. After each one, the process writes a NUL to standard output and to standard error.
    """
    return [sys.executable, "-c", IN_TURN, json.dumps([[str(argument) for argument in command] for command in commands])]


def prints(*args: object) -> str:
    """Return what a command prints. It must succeed."""
    result = naswot(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def refuses(unchanged: Path, *args: object) -> str:
    """Return the message of a command that ends with an error. It must be one line, and nothing under the folder `unchanged`
    may change."""
    before = snapshot(unchanged)
    result = naswot(*args)
    check_refusal(result.exit_code, result.stdout, result.stderr)
    assert snapshot(unchanged) == before
    return result.stderr.strip()


def check_refusal(exit_status: int, stdout: str, stderr: str) -> None:
    """Check that a refusal is one line on standard error, and nothing else."""
    assert exit_status == EXIT_ERROR, stdout + stderr
    assert stdout == ""
    assert stderr.startswith("error: "), stderr
    assert stderr.count("\n") == 1, stderr
    assert stderr.endswith("\n")
