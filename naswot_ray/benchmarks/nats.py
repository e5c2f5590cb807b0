"""The official files of NATS-Bench: directories `NATS-tss-v1_0-3ffb9-simple`, and whole files
`NATS-tss-v1_0-3ffb9.pickle.pbz2`.

Official format (the `nats_bench` package, api_topology.py and api_size.py): pickles compressed with bzip2. A directory has one
file per architecture, `000000.pickle.pbz2`, with schedule -> state dictionary, and a `meta.pickle.pbz2`. The whole file has all
of them in one dictionary. `tss` is the topology space (= NAS-Bench-201), trained for 12 and 200 epochs. `sss` is the size
space, trained for 1, 12 and 90 epochs.

`nats_bench` would unpickle the files without checking them. Here they are first unpickled by an allow-list
(`naswot_ray.safe_pickle`), and then handed to `nats_bench` as plain data (`naswot_ray.benchmarks.arch_results`).

bzip2 has checksums (CRC-32), so a damaged file is noticed. The digits of an MD5 in the name of a whole file are checked as
well. A file with another name (`NATS-tss-mine.pickle.pbz2`) has no such digits.
"""

from __future__ import annotations

import bz2
import contextlib
import io
import itertools
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from naswot_ray import safe_pickle
from naswot_ray.benchmarks.arch_results import Reader
from naswot_ray.benchmarks.format import Format
from naswot_ray.benchmarks.sources import BoundedStream, ReadProgress, checked_digest, digest_of, no_progress
from naswot_ray.benchmarks.whole_file import check_meta_archs, expect_end, read_whole_file
from naswot_ray.dataset.accuracies import AccuracyTable, batches_of
from naswot_ray.errors import BenchmarkError
from naswot_ray.regular_file import open_regular
from naswot_ray.spaces import get_space

SUFFIX: Final = ".pickle.pbz2"
META: Final = f"meta{SUFFIX}"

_SPACES: Final = {"NATS-tss": "nasbench201", "NATS-sss": "nats_sss"}
"""Beginning of a file name -> the space that its architectures belong to."""

_EPOCHS: Final = {"nasbench201": {"12": 12, "200": 200}, "nats_sss": {"01": 1, "12": 12, "90": 90}}
"""Space -> schedule -> epochs."""

_DIGITS: Final = re.compile(r"-([0-9a-f]{5})" + re.escape(SUFFIX))

_MAX_PART_BYTES: Final = 8 << 20
"""The largest unpacked file in a directory that is read. The official ones have up to 1.4 MB."""

_MAX_WHOLE_BYTES: Final = 16 << 30
"""The largest unpacked whole file that is read. The official ones have about 5.1 GB (topology) and 2.8 GB (size)."""


def is_nats_directory(path: Path) -> bool:
    """Whether a path is an unpacked NATS-Bench archive."""
    return (path / META).is_file()


def is_nats_file(path: Path) -> bool:
    """Whether a path is a whole file of NATS-Bench, judging by its name."""
    return path.name.endswith(SUFFIX) and not path.is_dir()


def nats_space(path: Path) -> str:
    """The space of a directory or file of NATS-Bench, judging by its name.

    Raises:
        BenchmarkError: the name does not tell.
    """
    name = path.resolve().name
    for prefix, space in _SPACES.items():
        if name.startswith(prefix):
            return space
    raise BenchmarkError(f"{path}: expected a name that begins with {' or '.join(_SPACES)}, as officially")


def read_nats(path: Path, progress: ReadProgress = no_progress) -> AccuracyTable:
    """All accuracies of a `-simple` directory: those of every repeat, and the means over repeats with the number of repeats.

    Args:
        path: the directory; it can hold any subset of the architectures.
        progress: called after each file.

    Raises:
        BenchmarkError: it is not such a directory, or a file in it is damaged, foreign, or not what its name says. Errors in
            the file of an architecture are raised while the batches are read; nothing is added to a dataset then.
    """
    reader = _reader(path)
    meta = _load(path / META)
    try:
        check_meta_archs(meta.get("meta_archs"), reader)
    except BenchmarkError as error:
        raise BenchmarkError(f"{path / META}: {error}") from error
    files = sorted(file for file in path.glob(f"*{SUFFIX}") if file.name != META)
    if not files:
        raise BenchmarkError(f"{path}: no architecture files (000000{SUFFIX}, ...) beside {META}")
    digest = digest_of([path / META, *files])
    rows = _rows_of_files(files, reader, progress)
    return AccuracyTable(reader.space.name, path.resolve().name, digest, batches_of(reader.space.name, digest, rows))


def read_nats_file(path: Path, progress: ReadProgress = no_progress) -> AccuracyTable:
    """All accuracies of a whole file. The rows are the same as those of the directory.

    The file is read to its end before this returns. The topology space takes 8 minutes and 2.4 GB of memory (`nats_bench` would
    take 30 GB); the size space takes 5 minutes and 2 GB.

    Args:
        path: the file, under its official name.
        progress: called with the number of compressed bytes read so far.

    Raises:
        BenchmarkError: the file is damaged or malicious, has another MD5 than its name says, or has another format.
    """
    reader = _reader(path)
    digits = _DIGITS.search(path.name)
    digest = checked_digest(path, digits and digits.group(1))
    size = path.stat().st_size
    with open_regular(path) as packed, bz2.open(packed) as unpacked:
        stream = BoundedStream(unpacked, _MAX_WHOLE_BYTES, lambda: progress(packed.tell(), size)).buffered()
        table = read_whole_file(path, digest, stream, reader)
        expect_end(path, stream)
        return table


def _reader(path: Path) -> Reader:
    space = nats_space(path)
    with contextlib.redirect_stdout(io.StringIO()):
        from nats_bench.api_utils import ArchResults  # noqa: PLC0415  slow, and only needed here

    return Reader(get_space(space), _EPOCHS[space], ArchResults)


def _rows_of_files(files: list[Path], reader: Reader, progress: ReadProgress) -> Iterator[dict[str, Any]]:
    sizes = [file.stat().st_size for file in files]
    for file, done in zip(files, itertools.accumulate(sizes), strict=True):
        number = file.name.removesuffix(SUFFIX)
        if not (number.isascii() and number.isdecimal() and len(number) <= 6):
            raise BenchmarkError(f"{file}: expected an architecture's number for a name, as in 000011{SUFFIX}")
        content = _load(file)
        try:
            yield from reader.rows_of(content, int(number))
        except BenchmarkError as error:
            raise BenchmarkError(f"{file}: {error}") from error
        progress(done, sum(sizes))


def _load(file: Path) -> dict[Any, Any]:
    try:
        with open_regular(file) as packed, bz2.open(packed) as unpacked:
            data = unpacked.read(_MAX_PART_BYTES + 1)
        if len(data) > _MAX_PART_BYTES:
            raise ValueError(f"it unpacks to more than {_MAX_PART_BYTES} bytes")
        content = safe_pickle.loads(data)
    except (OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise BenchmarkError(f"{file} is damaged or not a NATS-Bench file ({error}); unpack the archive again") from error
    if not isinstance(content, dict):
        raise BenchmarkError(f"{file}: expected a dictionary, found {type(content).__name__}")
    return content


NATS_DIRECTORY: Final = Format(
    name="nats-directory",
    file=f"a NATS-...-simple directory with a {META}",
    holds="NATS-Bench",
    recognises=is_nats_directory,
    spaces_in=lambda path: (nats_space(path),),
    read=lambda path, space, progress: read_nats(path, progress),
)

NATS_FILE: Final = Format(
    name="nats-file",
    file=f"a NATS-...{SUFFIX} file",
    holds="NATS-Bench",
    recognises=is_nats_file,
    spaces_in=lambda path: (nats_space(path),),
    read=lambda path, space, progress: read_nats_file(path, progress),
)
