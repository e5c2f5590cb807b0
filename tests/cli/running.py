"""Running the command line: in this process, and as users do."""

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
    """`naswot-ray` in this process. What is no clean exit raises here, with its traceback."""
    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False, prog_name="naswot-ray")


def naswot_process(*args: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """`naswot-ray` in a process of its own."""
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
    """The command line of one process, as starting one takes a second, that runs several commands of `naswot-ray`.

    They must succeed. After each, it writes a NUL to the standard output and to the standard error.
    """
    return [sys.executable, "-c", IN_TURN, json.dumps([[str(argument) for argument in command] for command in commands])]


def prints(*args: object) -> str:
    """What a command that succeeds prints."""
    result = naswot(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def refuses(unchanged: Path, *args: object) -> str:
    """The message of a command that ends with an error. It must be one line, and leave everything under a folder as it is."""
    before = snapshot(unchanged)
    result = naswot(*args)
    check_refusal(result.exit_code, result.stdout, result.stderr)
    assert snapshot(unchanged) == before
    return result.stderr.strip()


def check_refusal(exit_status: int, stdout: str, stderr: str) -> None:
    """A refusal is one line on the standard error, and nothing else."""
    assert exit_status == EXIT_ERROR, stdout + stderr
    assert stdout == ""
    assert stderr.startswith("error: "), stderr
    assert stderr.count("\n") == 1, stderr
    assert stderr.endswith("\n")
