"""The compiled kernels of engine `fast`, as a library that is safe to call.

A library is code that runs, and its numbers become rows of the dataset. Four checks therefore come before its use:

- It is read only from a folder that no other user can write to.
- Its content must have the digest with which it was written.
- It is loaded from a copy in memory, which nobody can change after the check.
- It must compute a small network as torch does.

If a check fails, the library is built again.
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
        functions: the library, with the types of its functions declared.
        note: a message for the operator: why the kernels were built although the cache should have had them.
    """

    functions: ctypes.CDLL
    note: str | None = None


class _UnusableError(Exception):
    """A library cannot be used. The message says why, as a clause without a subject."""


@cache
def load_kernels() -> LoadedKernels:
    """Load the kernels from the cache, or build them.

    They are built if the cache has no trustworthy library for these sources, this compiler and this processor.

    Raises:
        BuildError: there is no compiler, the compiler failed, or the library does not compute what torch computes. The message
            says which.
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
    """Strip the digest from the content of a file, after checking it."""
    content, digest = kept[:-_DIGEST_BYTES], kept[-_DIGEST_BYTES:]
    if digest != _digest(name, content):
        raise _UnusableError("is not what was written")
    return content


def _digest(name: str, content: bytes) -> bytes:
    """The digest of a library and its name, so that a library for another processor is not mistaken for this one."""
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
    """Load a library from a private copy, so that what was verified is what runs, even if the file changes meanwhile."""
    if hasattr(os, "memfd_create"):
        with suppress(OSError):  # some systems forbid to execute such memory
            # The descriptor stays open: the loader takes a known path for the library that it has already loaded from there.
            descriptor = os.memfd_create("naswot-ray-kernels")
            with open(descriptor, "wb", closefd=False) as file:
                file.write(content)
            return ctypes.CDLL(f"/proc/self/fd/{descriptor}")
    with tempfile.TemporaryDirectory(prefix="naswot-ray-") as folder:
        path = Path(folder) / "kernels.so"
        path.write_bytes(content)
        return ctypes.CDLL(str(path))
