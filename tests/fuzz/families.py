"""The families of the fuzzer: for each kind of file a sound example, and what a user gets from it."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from naswot_ray import safe_pickle
from naswot_ray.benchmarks.formats import read_accuracies
from naswot_ray.dataset import manifest, runs
from naswot_ray.dataset.check import check_files, list_files
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.join import join
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import DatasetError
from naswot_ray.fetch.archive import Archive, unpack
from naswot_ray.images import files
from naswot_ray.spaces.nds import NdsSpace
from tests.benchmarks.nasbench101_files import Training, write_tfrecord
from tests.dataset import making
from tests.fetch.archives import tar_bytes, tree, zip_bytes
from tests.images import official
from tests.spaces.nds_files import ANYNET, CELL_NET, nds_record, write_nds_json, write_nds_zip


@dataclass(frozen=True)
class Family:
    """One kind of file.

    Attributes:
        name: name in the table.
        make: writes a sound file below an empty folder, together with what it needs beside it, and returns its path.
        read: returns what a user gets from the file; raises a `NaswotError` or an error of `refusals` if it is refused.
        is_sealed: whether every change is noticed or has no effect, because the file or its format has checksums.
        refusals: other errors that a damaged file may cause.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    is_sealed: bool = False
    refusals: tuple[type[Exception], ...] = ()


def _dataset_with(pattern: str) -> Callable[[Path], Path]:
    """Makes a small dataset with accuracies and a join. The family's file is the first one that matches."""

    def make(folder: Path) -> Path:
        dataset = making.make_dataset(folder / "d", indices=range(6), seeds=(0, 1))
        making.add(dataset, [making.mean_accuracy(index) for index in range(6)])
        join(dataset, making.SPACE)
        return min((folder / "d").glob(pattern))

    return make


def _root_of(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.name == "d")


def _rows(path: Path) -> object:
    """Read the rows with pyarrow and with DuckDB, which have to agree."""
    dataset, table = Dataset(_root_of(path)), path.parent.name
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        by_pyarrow = getattr(dataset, table).to_table().to_pylist()
        by_duckdb = connection.sql(f"SELECT * FROM {table}").to_arrow_table().to_pylist()
    assert sorted(map(repr, by_duckdb)) == sorted(map(repr, by_pyarrow))
    return by_pyarrow


def _checked(path: Path) -> object:
    """`check` continues whatever it finds, and finds the one file that has changed."""
    dataset = Dataset(_root_of(path))
    found = check_files(dataset, list_files(dataset))
    problems = [(problem.kind, str(problem.path)) for some in found for problem in some]
    if problems:
        raise DatasetError(f"{len(problems)} problems: {problems[0]}")
    return problems


def _manifest(path: Path) -> object:
    return manifest.read(Storage(path.parent))


def _record(path: Path) -> object:
    return runs.read(Storage(path.parents[1]), PurePosixPath(*path.parts[-2:]))


def _accuracies(space: str, *mapping: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        return read_accuracies(space, path, mapping).read_all().drop(["source_digest"]).to_pylist()

    return read


def _networks_of_nds(path: Path) -> object:
    space = NdsSpace("DARTS", str(path))
    return [(arch_id, space.network(arch_id).params) for arch_id in space]


def _tfrecord(folder: Path) -> Path:
    return write_tfrecord(folder / "x.tfrecord", [Training(f"{i:032x}", 108, 0.9, 0.9) for i in range(3)])


def _nds_json(folder: Path) -> Path:
    records = [nds_record({**CELL_NET, "width": 4, "depth": 3}), nds_record(CELL_NET, errors=[None])]
    return write_nds_json(folder, "DARTS", records)


def _nds_zip(folder: Path) -> Path:
    return write_nds_zip(folder / "data.zip", {"DARTS": [nds_record(CELL_NET)], "ResNet": [nds_record(ANYNET)]})


_MAP: Final = ("arch_id=arch_id", "cifar10/test/200=accuracy")


def _table(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "table.csv"
        path.write_text("arch_id,accuracy\n" + "".join(f'"{making.arch_id(i)}",{90 - i}\n' for i in range(5)))
        if suffix == "parquet":
            pq.write_table(pacsv.read_csv(path), path.with_suffix(".parquet"))
        return path.with_suffix(f".{suffix}")

    return make


_FILES = {"top/a/1.txt": b"one" * 100, "top/b.txt": b"two" * 200, "top/c.txt": b"", "other/d.txt": b"four"}


def _archive(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "archive"
        path.write_bytes(zip_bytes(_FILES) if kind == "zip" else tar_bytes(_FILES))
        return path

    return make


def _unpacked(kind: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        beside = tree(path.parent)
        archive = Archive("zip" if kind == "zip" else "tar", min_files=3, max_members=20, max_bytes=10_000)
        try:
            unpack(path, path.with_name("top"), archive)
            return tree(path.with_name("top"))
        finally:
            found = {name: content for name, content in tree(path.parent).items() if not name.startswith("top")}
            assert found == beside, "something was written beside the folder"

    return read


def _npz(folder: Path) -> Path:
    np.savez(folder / "cifar10.npz", x_train=official.some_pixels(3, 32), y_train=np.arange(3))
    return folder / "cifar10.npz"


def _pixels(path: Path) -> object:
    return files.read_pixels("cifar10", path.parent).tobytes()


def _pickle(folder: Path) -> Path:
    results = OrderedDict(x=np.arange(5, dtype=np.float32), y={"seeds": {777, 888}, "names": ["a", "b"] * 3}, z=np.float64(0.5))
    path = folder / "results.pickle"
    path.write_bytes(pickle.dumps({0: results, 1: (None, True, 2**70, -1.5, "text", b"bytes")}, protocol=4))
    return path


def _unpickled(path: Path) -> object:
    return repr(safe_pickle.loads(path.read_bytes()))


def families() -> Iterator[Family]:
    """All kinds of files."""
    for table in ("scores", "architectures", "accuracies", "joined"):
        yield Family(f"{table}: rows", _dataset_with(f"{table}/*.parquet"), _rows, is_sealed=True)
    yield Family("scores: check", _dataset_with("scores/*.parquet"), _checked, is_sealed=True)
    yield Family("run record: check", _dataset_with("runs/*.json"), _checked)
    yield Family("dataset.json", _dataset_with("dataset.json"), _manifest, is_sealed=True)
    yield Family("run record", _dataset_with("runs/*.json"), _record)
    # A record that is missing completely has no checksum; only the digest of the official file reveals it.
    yield Family("NAS-Bench-101 .tfrecord", _tfrecord, _accuracies("nasbench101"))
    yield Family("NDS .json: accuracies", _nds_json, _accuracies("nds_darts"))
    yield Family("NDS .json: networks", _nds_json, _networks_of_nds)
    yield Family("NDS .zip", _nds_zip, _accuracies("nds_darts"), is_sealed=True)
    yield Family("table .csv", _table("csv"), _accuracies("nasbench201", *_MAP))
    yield Family("table .parquet", _table("parquet"), _accuracies("nasbench201", *_MAP))
    yield Family("archive .tar", _archive("tar"), _unpacked("tar"))
    yield Family("archive .zip", _archive("zip"), _unpacked("zip"), is_sealed=True)
    yield Family("images .npz", _npz, _pixels, is_sealed=True)
    yield Family("pickle", _pickle, _unpickled, refusals=(pickle.UnpicklingError,))
