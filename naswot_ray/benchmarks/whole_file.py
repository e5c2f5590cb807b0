"""A benchmark in one pickle, `{"meta_archs": [...], "arch2infos": {number: results}, "evaluated_indexes": {...}}`.

The file of NATS-Bench's topology space unpickles to 30 GB of objects. Here the results of an architecture become rows as soon
as they are read, and are then emptied. What stays in memory are the unpickler's memo (8 bytes per object and string) and the
rows as Arrow batches: 0.13 MB per architecture of that space, and 0.05 MB per architecture of the size space. A file that was
made for it can still exhaust the memory, but a dataset is not touched before the whole file has been read.
"""

from __future__ import annotations

import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa

from naswot_ray import safe_pickle
from naswot_ray.benchmarks.arch_results import Reader
from naswot_ray.dataset.accuracies import AccuracyTable, batches_of
from naswot_ray.errors import BenchmarkError

_ROWS_PER_BATCH: Final = 16_384


def read_whole_file(path: Path, digest: str, stream: BinaryIO, reader: Reader) -> AccuracyTable:
    """All accuracies of such a pickle. It is read to its end before this returns.

    Args:
        path: the path of the source.
        digest: SHA-256 of the source.
        stream: the pickle; it is read no further than its end.
        reader: reads the results of each architecture.

    Raises:
        BenchmarkError: the pickle is damaged or malicious, or its content is not what `reader` expects.
    """
    batches: list[pa.RecordBatch] = []
    rows: list[dict[str, Any]] = []

    def flush() -> None:
        batches.extend(batches_of(reader.space.name, digest, rows))
        rows.clear()

    def visit(items: dict[Any, Any]) -> None:
        if _is_architecture(items):
            rows.extend(reader.rows_of(items))
            _empty(items)
            if len(rows) >= _ROWS_PER_BATCH:
                flush()

    try:
        content = safe_pickle.load(stream, visit=visit)
        _check(content, reader)
    except BenchmarkError as error:
        raise BenchmarkError(f"{path}: {error}") from error
    except pickle.UnpicklingError as error:
        raise BenchmarkError(f"{path} is damaged or not {reader.space.name}'s file ({error}); download it again") from error
    flush()
    return AccuracyTable(reader.space.name, path.name, digest, iter(batches))


def expect_end(path: Path, stream: BinaryIO) -> None:
    """Check that nothing follows the pickle. Compressed formats verify their checksums only at their end.

    Raises:
        BenchmarkError: something follows the pickle, or a checksum is wrong.
    """
    try:
        rest = stream.read(1)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BenchmarkError(f"{path} is damaged ({error}); download it again") from error
    if rest:
        raise BenchmarkError(f"{path}: expected nothing behind its results; download it again")


def _is_architecture(items: dict[Any, Any]) -> bool:
    first = next(iter(items.values()), None)
    return isinstance(first, dict) and "all_results" in first


def _empty(items: dict[Any, Any]) -> None:
    """Free the results of an architecture; the unpickler's memo keeps the emptied objects until it ends."""
    for state in items.values():
        for trial in state["all_results"].values():
            for part in trial.values():
                if isinstance(part, dict):
                    part.clear()
            trial.clear()
        state.clear()
    items.clear()


def _check(content: Any, reader: Reader) -> None:
    """Check that the file was complete, which shows only at its end."""
    if not isinstance(content, dict) or not {"meta_archs", "arch2infos", "evaluated_indexes"} <= content.keys():
        raise BenchmarkError("expected a dictionary with meta_archs, arch2infos and evaluated_indexes")
    check_meta_archs(content["meta_archs"], reader)
    found = {index for index, _ in reader.seen}
    if not found:
        raise BenchmarkError("no architecture's results in it")
    for name in ("arch2infos", "evaluated_indexes"):
        announced = content[name]
        if not isinstance(announced, (dict, list, set)) or not all(type(index) is int for index in announced):
            raise BenchmarkError(f"expected numbers of architectures in its {name!r}")
        if set(announced) != found:
            raise BenchmarkError(f"its {name!r} are not the {len(found)} architectures whose results it holds")


def check_meta_archs(arch_ids: Any, reader: Reader) -> None:
    """Check that the architectures of a source are those of its space, in order.

    Raises:
        BenchmarkError: they are not. The caller puts the name of the source in front of the message.
    """
    is_list = isinstance(arch_ids, list) and all(type(arch_id) is str for arch_id in arch_ids)
    if not is_list or arch_ids != list(reader.space):
        raise BenchmarkError(f"its 'meta_archs' are not the architectures of {reader.space.name}")
