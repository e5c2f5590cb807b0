"""The official files of NAS-Bench-201, `NAS-Bench-201-v1_0-e61699.pth` and `NAS-Bench-201-v1_1-096897.pth`.

Official format (the `nas-bench-201` package, api_201.py): a dictionary written by `torch.save`, {"meta_archs": arch strings in
the benchmark's order, "arch2infos": {number: {"less": state, "full": state}}, "evaluated_indexes": numbers, ...}. `less` is the
training of 12 epochs, and `full` the one of 200. In v1_0, only `cifar10-valid` has 12 epochs. The file contains no tensors.

`torch.save` has two formats. The legacy format was the default of torch before 1.6, when both official files were made. It is a
sequence of pickles: a magic number, the version of the format, the properties of the machine, the object, and the keys of its
tensors. The other format is a zip archive with the pickle in `.../data.pkl`. Both are read here by `naswot_ray.safe_pickle` and
handed to `nas_201_api` as plain data. `torch.load` is not used, for three reasons: by default it refuses the files; what it
must be told to allow depends on the release of torch; and it needs all objects in memory at once (30 GB, because memory maps
work for tensors only).

The legacy format has no checksums. The file is protected by the end of its digest in its name; a file without it is refused.
The authors write "the last six digits", but not of which digest; their scripts otherwise use MD5. In case that is wrong, a file
with the SHA-256 that others noted for v1_1 is accepted too.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import BinaryIO, Final

from naswot_ray import safe_pickle
from naswot_ray.benchmarks.arch_results import Reader
from naswot_ray.benchmarks.format import Format
from naswot_ray.benchmarks.sources import BoundedStream, ReadProgress, checked_digest, no_progress
from naswot_ray.benchmarks.whole_file import expect_end, read_whole_file
from naswot_ray.dataset.accuracies import AccuracyTable
from naswot_ray.errors import BenchmarkError
from naswot_ray.fetch.catalogue import known_digest
from naswot_ray.regular_file import open_regular
from naswot_ray.spaces import get_space

SPACE: Final = "nasbench201"
SUFFIX: Final = ".pth"

_EPOCHS: Final = {"less": 12, "full": 200}

_DIGITS: Final = re.compile(r"-([0-9a-f]{6})" + re.escape(SUFFIX))

_OBJECT: Final = re.compile(r"(?!\.\./)[^/]+/data\.pkl")
"""The member of a zip archive that is read; nothing is ever unpacked to disk."""

_LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION: Final = 1001

_MAX_BYTES: Final = 16 << 30
"""The largest pickle that is read. The official one has 4.7 GB."""


def read_nasbench201(path: Path, progress: ReadProgress = no_progress) -> AccuracyTable:
    """All accuracies of the file: those of every repeat, and the means over repeats with the number of repeats.

    The file is read to its end before this returns. That takes about 10 minutes and 2.4 GB of memory.

    Args:
        path: the file, under its official name.
        progress: called with the bytes read so far.

    Raises:
        BenchmarkError: the file is damaged or malicious, has another MD5 than its name says, or has another format.
    """
    digits = _DIGITS.search(path.name)
    if digits is None:
        raise BenchmarkError(f"{path}: expected its official name, NAS-Bench-201-v1_1-096897{SUFFIX}, to check its MD5 against")
    noted = known_digest(path.name)
    digest = checked_digest(path, digits.group(1), noted.hexdigits if noted else None)
    from nas_201_api.api_utils import ArchResults  # noqa: PLC0415  imports torch, and only needed here

    reader = Reader(get_space(SPACE), _EPOCHS, ArchResults)
    with open_regular(path) as file:
        is_zip = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        read = _read_zip if is_zip else _read_legacy
        return read(path, digest, file, reader, progress)


def _read_legacy(path: Path, digest: str, file: BinaryIO, reader: Reader, progress: ReadProgress) -> AccuracyTable:
    size = path.stat().st_size
    stream = BoundedStream(file, _MAX_BYTES, lambda: progress(file.tell(), size)).buffered()
    try:
        magic, version, _ = [safe_pickle.load(stream) for _ in range(3)]
        if magic != _LEGACY_MAGIC or version != _LEGACY_VERSION:
            raise pickle.UnpicklingError("another magic number or version")
    except pickle.UnpicklingError as error:
        raise BenchmarkError(f"{path} is not a file of torch.save ({error}); download it again") from error
    table = read_whole_file(path, digest, stream, reader)
    try:
        tensors = safe_pickle.load(stream)
    except pickle.UnpicklingError as error:
        raise BenchmarkError(f"{path} is damaged behind its results ({error}); download it again") from error
    if tensors != []:
        raise BenchmarkError(f"{path}: expected no tensors behind its results; it is not the file without weights")
    expect_end(path, stream)
    return table


def _read_zip(path: Path, digest: str, file: BinaryIO, reader: Reader, progress: ReadProgress) -> AccuracyTable:
    try:
        with zipfile.ZipFile(file) as archive:
            members = [info for info in archive.infolist() if _OBJECT.fullmatch(info.filename)]
            if len(members) != 1:
                raise ValueError(f"expected one member .../data.pkl, found {len(members)}")
            (member,) = members
            with archive.open(member) as pickled:
                stream = BoundedStream(
                    pickled, _MAX_BYTES, lambda: progress(min(pickled.tell(), member.file_size), member.file_size)
                ).buffered()
                table = read_whole_file(path, digest, stream, reader)
                expect_end(path, stream)
                return table
    except (zipfile.BadZipFile, RuntimeError, OSError, ValueError) as error:
        raise BenchmarkError(f"{path} is damaged or not a file of torch.save ({error}); download it again") from error


NASBENCH201: Final = Format(
    name="nasbench201",
    file=f"a {SUFFIX} file",
    holds="NAS-Bench-201",
    recognises=lambda path: path.suffix == SUFFIX and not path.is_dir(),
    spaces_in=lambda path: (SPACE,),
    read=lambda path, space, progress: read_nasbench201(path, progress),
)
