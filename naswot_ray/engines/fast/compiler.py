"""Compiles the kernels of engine `fast` for the processor at hand.

The kernels are C++ that knows nothing of Python or torch. The machine's own compiler builds them on first use, for two reasons:
the code of a Ray job reaches each node as source, so a compiled library could not come along; and only there is it known
which processor to compile for.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

_SOURCES = Path(__file__).parent
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC")
_COMPILERS = ("c++", "g++", "clang++")
_TIMEOUT_SECONDS = 300


class BuildError(Exception):
    """The kernels could not be built, so none can be used here."""


def find_compiler() -> str:
    """The path of a C++ compiler: that of `$CXX` if it is set, or else of the first usual name that exists.

    Raises:
        BuildError: no compiler was found.
    """
    named = os.environ.get("CXX")
    for name in [named] if named else _COMPILERS:
        found = shutil.which(name)
        if found:
            return found
    raise BuildError(f"no C++ compiler ({named or ', '.join(_COMPILERS)})")


def key_of(compiler: str) -> str:
    """A digest of what the result of `compile_kernels` depends on: sources, options, compiler and processor.

    Raises:
        BuildError: the compiler could not be run.
    """
    digest = hashlib.blake2b(digest_size=12)
    for source in sorted([*_SOURCES.glob("*.cpp"), *_SOURCES.glob("*.h")]):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    digest.update(" ".join(_FLAGS).encode() + _version_of(compiler) + _processor())
    return digest.hexdigest()


def compile_kernels(compiler: str) -> bytes:
    """Compile the kernels.

    Returns:
        the content of the shared library.

    Raises:
        BuildError: the compiler failed; the message says why.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="naswot-ray-") as folder:
            result = Path(folder) / "kernels.so"
            command = [compiler, *_FLAGS, str(_SOURCES / "kernels.cpp"), "-o", str(result)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS)
            if done.returncode:
                message = next((line for line in done.stderr.splitlines() if "error" in line), f"exit status {done.returncode}")
                raise BuildError(f"{compiler}: {message}")
            return result.read_bytes()
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{compiler} did not finish in {_TIMEOUT_SECONDS} s") from error
    except OSError as error:
        raise BuildError(f"{compiler}: {error}") from error


def _version_of(compiler: str) -> bytes:
    try:
        done = subprocess.run([compiler, "--version"], capture_output=True, check=False, timeout=_TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{compiler} --version: {error}") from error
    return done.stdout


def _processor() -> bytes:
    """Describes the architecture and the instruction sets. Nodes of several kinds may share one cache in a home directory."""
    wanted = ("model name", "flags", "Features", "CPU part")
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        lines = [platform.processor()]
    return "\n".join([platform.machine(), *(line for line in lines if line.startswith(wanted))]).encode()
