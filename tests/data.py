"""Finds data that some tests read and the repository does not hold: real images, official benchmark files, published tables.

The environment variable NASWOT_RAY_TEST_DATA names a folder that may contain

| file | what |
|---|---|
| `images/cifar10.npz`, `cifar100.npz`, `imagenet16.npz` | real images, in the format of `naswot_ray.images.files` |
| `benchmarks/nats_fixture/` | both of NATS-Bench's `-simple` directories: the meta file, architectures 0, 11 and 284 |
| `benchmarks/nasbench101.parquet` | every row of NAS-Bench-101: hash, matrix, operations, parameters, accuracies |
| `benchmarks/nasbench201.parquet` | every cell of NAS-Bench-201: isomorphism, parameters, accuracies, training times |
| `benchmarks/nasbench201_published_naswot.parquet` | another codebase's NASWOT scores of every cell |

Images and NATS-Bench's files are also found where `naswot-ray fetch` puts them. A test whose data is missing is skipped, and
the reason names the command that fetches the official file.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from naswot_ray.cache import cache_directory
from tests.benchmarks.official_nats import INDEXES, SPACES, SSS, TSS

__all__ = ["VARIABLE", "check_variable", "copy_nats", "find_given", "find_images", "find_table"]

VARIABLE = "NASWOT_RAY_TEST_DATA"

_FOLDER = Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
_FETCHED = cache_directory()
"""The user's own cache. Tests do not touch it: `tests.conftest.cache` replaces it."""

IMAGES = {"cifar10": "cifar10.npz", "cifar100": "cifar100.npz", "imagenet16-120": "imagenet16.npz"}
NATS = {TSS: "nats-tss", SSS: "nats-sss"}
"""Official directory -> its name in `naswot-ray fetch`."""
TABLES = {
    "nasbench101.parquet": "naswot-ray fetch nasbench101",
    "nasbench201.parquet": "naswot-ray fetch nats-tss",
    "nasbench201_published_naswot.parquet": None,
}
"""Table -> the command that fetches the official file with the same facts; None if no benchmark publishes them."""


def check_variable() -> None:
    """Refuse a variable that does not name a folder, since every test that needs data would be skipped.

    Raises:
        pytest.UsageError: the variable does not name a folder.
    """
    if _FOLDER and not _FOLDER.is_dir():
        raise pytest.UsageError(f"{VARIABLE}={_FOLDER} is not a folder")


def find_table(name: str) -> Path:
    """A table of `TABLES`. The test is skipped if it does not exist."""
    path = find_given("benchmarks", name)
    if path is None:
        command = TABLES[name]
        official = f"; the official file with its facts: {command}" if command else ""
        pytest.skip(f"needs benchmarks/{name} in the folder ${VARIABLE}{official}")
    return path


def find_images(name: str) -> Path:
    """A folder with the images of a source. The test is skipped if there is none."""
    if given := find_given("images", IMAGES[name]):
        return given.parent
    if not (_FETCHED / name).is_dir():
        pytest.skip(f"needs images: naswot-ray fetch {name}, or images/{IMAGES[name]} in the folder ${VARIABLE}")
    return _FETCHED / name


def copy_nats(target: Path) -> Path:
    """A folder with three architectures of each of NATS-Bench's official directories. Tests may only read it.

    Args:
        target: where to make the folder from fetched directories, if `NASWOT_RAY_TEST_DATA` holds none.
    """
    folder = find_given("benchmarks", "nats_fixture")
    if folder is not None:
        return folder
    for name, entry in NATS.items():
        fetched = _FETCHED / entry / name
        if not fetched.is_dir():
            place = f"benchmarks/nats_fixture/{name} in the folder ${VARIABLE}"
            pytest.skip(f"needs {SPACES[name]}'s official directory: naswot-ray fetch {entry}, or {place}")
        (target / name).mkdir(parents=True, exist_ok=True)
        for file in ("meta", *(f"{index:06d}" for index in INDEXES)):
            shutil.copyfile(fetched / f"{file}.pickle.pbz2", target / name / f"{file}.pickle.pbz2")
    return target


def find_given(*parts: str) -> Path | None:
    """A file or folder in the folder that `NASWOT_RAY_TEST_DATA` names; None if it is not there."""
    path = _FOLDER.joinpath(*parts) if _FOLDER else None
    return path if path and path.exists() else None
