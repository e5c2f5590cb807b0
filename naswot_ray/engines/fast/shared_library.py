"""The compiled kernels of engine `fast`, as a library that is safe to call.

A library is executed, and its numbers become rows. So it is loaded only from a folder that no other user can write to, only if
its content has the digest it was written with, from a copy in memory that nobody can change after that, and it is used only
once it has computed a small network as torch does. Where anything of that is wrong it is built again.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from naswot_ray.cache import cache_directory
from naswot_ray.engines.fast.compiler import BuildError, compile_kernels, find_compiler, key_of
from naswot_ray.engines.fast.self_test import find_fault
from naswot_ray.private_folder import NotPrivateError, PrivateFolder

_DIGEST_BYTES: Final = 32


@dataclass(frozen=True)
class LoadedKernels:
    """Kernels that can be called.

    Attributes:
        functions: of the library, with their types.
        note: what an operator should know: why they were built although the cache should have had them.
    """

    functions: ctypes.CDLL
    note: str | None = None


class _UnusableError(Exception):
    """Why a library is not used."""


@cache
def load_kernels() -> LoadedKernels:
    """The kernels, built if the cache has none for these sources, this compiler and this processor that can be trusted.

    Raises:
        BuildError: there is no compiler, it failed, or what it built does not compute what torch computes; says why.
    """
    compiler = find_compiler()
    name = f"{key_of(compiler)}.so"
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(PrivateFolder(cache_directory() / "kernels"))
            stack.enter_context(folder.locked(f"{name}.lock"))
        except (NotPrivateError, OSError) as error:
            return LoadedKernels(_build(compiler)[0], _not_kept(error))
        note = None
        try:
            kept = folder.read(name)
            if kept is not None:
                return LoadedKernels(_open_tested(_verified(name, kept)))
        except (NotPrivateError, _UnusableError, OSError) as error:
            note = f"the kernels of engine fast were built again: {folder.path / name} {error}"
        library, content = _build(compiler)
        try:
            folder.write(name, content + _digest(name, content))
        except OSError as error:
            note = _not_kept(error)
        return LoadedKernels(library, note)


def _not_kept(error: Exception) -> str:
    return f"each process builds the kernels of engine fast anew: {error}; let NASWOT_RAY_CACHE name a folder of your own"


def _build(compiler: str) -> tuple[ctypes.CDLL, bytes]:
    content = compile_kernels(compiler)
    try:
        return _open_tested(content), content
    except _UnusableError as error:
        raise BuildError(f"what {compiler} built {error}") from error


def _verified(name: str, kept: bytes) -> bytes:
    """The library of a file that ends with its digest."""
    content, digest = kept[:-_DIGEST_BYTES], kept[-_DIGEST_BYTES:]
    if digest != _digest(name, content):
        raise _UnusableError("is not what was written")
    return content


def _digest(name: str, content: bytes) -> bytes:
    """Of a library under its name: one for another processor is not taken for it either."""
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES, key=name.encode()).digest()


def _open_tested(content: bytes) -> ctypes.CDLL:
    try:
        library = _open(content)
    except OSError as error:
        raise _UnusableError(f"cannot be loaded: {error}") from error
    pointer, word, integer = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int64
    library.naswot_run.argtypes = [pointer, integer, *[pointer] * 7]
    library.naswot_pair_floats.restype = integer
    library.naswot_log_dets.argtypes = [pointer, integer, integer, pointer, pointer]
    library.naswot_eigenvalues.argtypes = [pointer, pointer, integer, integer, pointer]
    library.naswot_draw_uniform.argtypes = [word, word, word, integer, ctypes.c_float, pointer]
    library.naswot_draw_normal.argtypes = [word, word, word, integer, ctypes.c_float, pointer, pointer]
    library.naswot_draw_uniform.restype = library.naswot_draw_normal.restype = None
    if fault := find_fault(library):
        raise _UnusableError(fault)
    return library


def _open(content: bytes) -> ctypes.CDLL:
    """Load a library from a copy of this process's own: what was verified is what runs, whatever becomes of the file."""
    if hasattr(os, "memfd_create"):
        with suppress(OSError):  # some systems forbid to execute such memory
            # Never closed: the loader takes a library under a path that it knows for the one that it has loaded.
            descriptor = os.memfd_create("naswot-ray-kernels")
            with open(descriptor, "wb", closefd=False) as file:
                file.write(content)
            return ctypes.CDLL(f"/proc/self/fd/{descriptor}")
    with tempfile.TemporaryDirectory(prefix="naswot-ray-") as folder:
        path = Path(folder) / "kernels.so"
        path.write_bytes(content)
        return ctypes.CDLL(str(path))
