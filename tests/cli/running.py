"""Running the command line: in this process, and as users do."""

from __future__ import annotations

import os
import subprocess
import sys
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
