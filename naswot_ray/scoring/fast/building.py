"""Builds the kernels of engine `fast` for the processor at hand, once, and loads them.

They are C++ without a line about Python or torch, compiled on first use by the machine's own compiler: the code of a Ray job
comes to each node as source, so nothing compiled could come with it, and this way the compiler knows which processor it is for.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from filelock import FileLock

from naswot_ray.cache import cache_directory

_SOURCES = Path(__file__).parent
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC")
_COMPILERS = ("c++", "g++", "clang++")
_TIMEOUT_SECONDS = 300


class BuildError(Exception):
    """The kernels cannot be built here."""


@cache
def load_kernels() -> ctypes.CDLL:
    """The kernels, built if there are none for these sources, this compiler and this processor yet.

    Raises:
        BuildError: there is no compiler, or it failed; says why.
    """
    compiler = _find_compiler()
    path = cache_directory() / "kernels" / f"{_key(compiler)}.so"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                _build(compiler, path)
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise BuildError(f"{path}: {error}") from error
    pointer, word, integer = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int64
    library.naswot_run.argtypes = [pointer, integer, *[pointer] * 7]
    library.naswot_draw_uniform.argtypes = [word, word, word, integer, ctypes.c_float, pointer]
    library.naswot_draw_normal.argtypes = [word, word, word, integer, ctypes.c_float, pointer, pointer]
    library.naswot_draw_uniform.restype = library.naswot_draw_normal.restype = None
    return library


def _find_compiler() -> str:
    named = os.environ.get("CXX")
    for name in [named] if named else _COMPILERS:
        found = shutil.which(name)
        if found:
            return found
    raise BuildError(f"no C++ compiler ({named or ', '.join(_COMPILERS)})")


def _key(compiler: str) -> str:
    """What the result of a build depends on."""
    digest = hashlib.blake2b(digest_size=12)
    for source in sorted([*_SOURCES.glob("*.cpp"), *_SOURCES.glob("*.h")]):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    digest.update(" ".join(_FLAGS).encode() + _version_of(compiler) + _processor())
    return digest.hexdigest()


def _version_of(compiler: str) -> bytes:
    done = subprocess.run([compiler, "--version"], capture_output=True, check=False, timeout=_TIMEOUT_SECONDS)
    return done.stdout


def _processor() -> bytes:
    """Architecture and instruction sets: nodes of several kinds may share a home directory."""
    wanted = ("model name", "flags", "Features", "CPU part")
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        lines = [platform.processor()]
    return "\n".join([platform.machine(), *(line for line in lines if line.startswith(wanted))]).encode()


def _build(compiler: str, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as directory:
        result = Path(directory) / path.name
        command = [compiler, *_FLAGS, str(_SOURCES / "kernels.cpp"), "-o", str(result)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise BuildError(f"{compiler} did not finish in {_TIMEOUT_SECONDS} s") from error
        if done.returncode:
            message = next((line for line in done.stderr.splitlines() if "error" in line), f"exit status {done.returncode}")
            raise BuildError(f"{compiler}: {message}")
        result.replace(path)
