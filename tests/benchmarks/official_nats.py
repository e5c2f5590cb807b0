"""Writes files as NATS-Bench and NAS-Bench-201 publish them, from the real results of a few architectures.

Source: D-X-Y/AutoDL-Projects, exps/NATS-Bench/tss-collect.py and exps/NAS-Bench-201/statistics-v2.py.
"""

from __future__ import annotations

import bz2
import hashlib
import os
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from naswot_ray.spaces import get_space

TSS = "NATS-tss-v1_0-3ffb9-simple"
SSS = "NATS-sss-v1_0-50262-simple"
SPACES = {TSS: "nasbench201", SSS: "nats_sss"}

INDEXES = (0, 11, 284)
"""The architectures whose results the real directories for development hold."""


def load(file: Path) -> Any:
    """Read a trusted file with the plain unpickler."""
    return pickle.loads(bz2.decompress(file.read_bytes()))


def dump(file: Path, content: Any) -> None:
    """Writes a file as `nats_bench.api_utils.pickle_save` does."""
    file.write_bytes(bz2.compress(pickle.dumps(content, protocol=4)))


def real_results(directory: Path, indexes: Iterable[int] = INDEXES) -> dict[int, Any]:
    """Number of an architecture -> schedule -> state dictionary, as in a real directory."""
    return {index: load(directory / f"{index:06d}.pickle.pbz2") for index in indexes}


def whole(space: str, results: dict[int, Any]) -> dict[str, Any]:
    """The dictionary that a benchmark in one file holds."""
    arch_ids = list(get_space(space))
    return {
        "meta_archs": arch_ids,
        "total_archs": len(arch_ids),
        "arch2infos": results,
        "evaluated_indexes": set(results),
    }


def whole_of_nasbench201(results: dict[int, Any]) -> dict[str, Any]:
    """The dictionary of NAS-Bench-201's .pth with the same results; `less` stands for 12 epochs and `full` for 200."""
    renamed = {index: {"full": states["200"], "less": states["12"]} for index, states in results.items()}
    return whole("nasbench201", renamed) | {"basestr": "C16-N5"}


def save_nats(folder: Path, directory_name: str, content: Any) -> Path:
    """Write a benchmark in one file to a folder. Its name holds digits of its MD5."""
    data = bz2.compress(pickle.dumps(content, protocol=4))
    return _named_by_md5(folder, f"{directory_name[: len('NATS-tss-v1_0')]}-{{}}.pickle.pbz2", 5, data)


def save_nasbench201(folder: Path, content: Any, *, legacy: bool = True) -> Path:
    """Write a .pth file to a folder. Its name holds digits of its MD5."""
    path = folder / "saved.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    data = path.read_bytes()
    path.unlink()
    return _named_by_md5(folder, "NAS-Bench-201-v1_1-{}.pth", 6, data)


class Bomb:
    """Leaves a marker if it is unpickled carelessly."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.marker}'",)


def rename_by_md5(path: Path) -> Path:
    """Give a damaged file the name of an intact one."""
    stem, _, rest = path.name.rpartition("-")
    digits, dot, suffix = rest.partition(".")
    target = path.with_name(f"{stem}-{_md5(path.read_bytes())[-len(digits) :]}{dot}{suffix}")
    return path.rename(target)


def _named_by_md5(folder: Path, pattern: str, num_digits: int, data: bytes) -> Path:
    path = folder / pattern.format(_md5(data)[-num_digits:])
    path.write_bytes(data)
    return path


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
