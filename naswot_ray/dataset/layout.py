"""Every path inside a dataset, relative to its root. No other module of the package builds such paths.

The files of a table lie side by side in one folder. Their names say what they hold, in fields separated by dots:

    scores/part-nasbench201.cifar10.batch-128.seed-0.000042.parquet
    architectures/part-nasbench201.000042.parquet
    accuracies/nasbench201.NATS-tss-v1_0-3ffb9-simple-1f0c8a2d.parquet
    joined/nasbench201.cifar10.batch-128.seed-0.parquet

There are no folders named `column=value`. Half of the common readers make such a name a column with a type of their own, which
then contradicts the column in the files. Others skip folders below the one that they were given.

A file with another name does not belong to the table, whatever it holds. The same is true if its space or image source is not a
valid name (`names`). Every reader of this package skips such a file, and `check` reports it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote, unquote

from naswot_ray.dataset.names import RUN_ID, is_name

MANIFEST: Final = PurePosixPath("dataset.json")
RUNS: Final = PurePosixPath("runs")
UNMATCHED: Final = PurePosixPath("unmatched")
REMOVED: Final = PurePosixPath("removed")
REMOVED_RECORD: Final = "record.json"

SCORES: Final = PurePosixPath("scores")
ARCHITECTURES: Final = PurePosixPath("architectures")
ACCURACIES: Final = PurePosixPath("accuracies")
JOINED: Final = PurePosixPath("joined")

TABLES_OF_PARTS: Final = (SCORES.name, ARCHITECTURES.name)

_INT: Final = r"0|[1-9]\d*"
_POINT: Final = rf"(?P<space>[^.]+)\.(?P<images>[^.]+)\.batch-(?P<batch_size>{_INT})\.seed-(?P<seed>{_INT})"
_NUMBER: Final = r"(?P<number>\d{6}|[1-9]\d{6,})"
_TABLES: Final = {
    SCORES.name: re.compile(rf"part-{_POINT}\.{_NUMBER}\.parquet"),
    ARCHITECTURES.name: re.compile(rf"part-(?P<space>[^.]+)\.{_NUMBER}\.parquet"),
    ACCURACIES.name: re.compile(r"(?P<space>[^.]+)\.(?P<source>.+)\.parquet"),
    JOINED.name: re.compile(rf"{_POINT}\.parquet"),
}
_RUN: Final = re.compile(rf"(?P<run_id>{RUN_ID})\.json")
_UNMATCHED: Final = re.compile(r"[^.]+\.csv")
_TEMPORARY: Final = re.compile(r"\..+\.tmp")
_LOCK: Final = re.compile(r"\..+\.lock")


@dataclass(frozen=True, slots=True)
class TableFile:
    """The fields in the name of a table's file.

    Attributes:
        table: `scores`, `architectures`, `accuracies` or `joined`.
        space: the space of its rows.
        images, batch_size, seed: the batch of its rows; None in tables without batches.
        number: the number of the shard, if the file is a part; otherwise None.
        source: the file that the accuracies were read from; None in other tables.
    """

    table: str
    space: str
    images: str | None = None
    batch_size: int | None = None
    seed: int | None = None
    number: int | None = None
    source: str | None = None

    @property
    def key(self) -> dict[str, str | int]:
        """The columns that have one value in the whole file, with that value, in the table's order."""
        values = {"space": self.space, "images": self.images, "batch_size": self.batch_size, "seed": self.seed}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def order(self) -> tuple[str, str, int, int, int]:
        """A sort key that orders files as people expect, with batch size 16 before 128."""
        return self.space, self.images or "", self.batch_size or 0, self.seed or 0, self.number or 0


def scores(space: str, images: str, batch_size: int, seed: int, number: int) -> PurePosixPath:
    """The path of the part that holds a shard's score rows."""
    return SCORES / f"part-{_point(space, images, batch_size, seed)}.{number:06d}.parquet"


def architectures(space: str, number: int) -> PurePosixPath:
    """The path of the part that holds a shard's architecture rows."""
    return ARCHITECTURES / f"part-{_field(space)}.{number:06d}.parquet"


def accuracies(space: str, source: str) -> PurePosixPath:
    """The path of the file with the accuracies from one source."""
    return ACCURACIES / f"{_field(space)}.{quote(source, safe='')}.parquet"


def joined(space: str, images: str, batch_size: int, seed: int) -> PurePosixPath:
    """The path of the file with the joined rows of one point of the grid."""
    return JOINED / f"{_point(space, images, batch_size, seed)}.parquet"


def unmatched(space: str) -> PurePosixPath:
    """The path of the list of architectures that have only a score or only an accuracy."""
    return UNMATCHED / f"{_field(space)}.csv"


def run_record(run_id: str) -> PurePosixPath:
    """The path of a run's record."""
    return RUNS / f"{run_id}.json"


def removed(name: str) -> PurePosixPath:
    """The path of a folder with files that were removed from the dataset. Below it each file keeps its former path."""
    return REMOVED / name


def table_file(path: PurePosixPath) -> TableFile | None:
    """Parse the path of a table's file; None if it is not the path of one."""
    if len(path.parts) != 2 or path.parts[0] not in _TABLES:
        return None
    table = path.parts[0]
    match = _TABLES[table].fullmatch(path.name)
    if match is None:
        return None
    found = match.groupdict()
    texts = {name: unquote(found[name]) for name in ("space", "images", "source") if name in found}
    if not all(is_name(texts[name]) for name in ("space", "images") if name in texts):
        return None
    numbers = {name: int(found[name]) for name in ("batch_size", "seed", "number") if name in found}
    file = TableFile(
        table,
        texts["space"],
        texts.get("images"),
        numbers.get("batch_size"),
        numbers.get("seed"),
        numbers.get("number"),
        texts.get("source"),
    )
    return file if _path_of(file) == path else None  # otherwise it is spelt differently from the file that we would write


def is_run_record(path: PurePosixPath) -> bool:
    """Whether a path is one that `run_record` gives."""
    return path.parent == RUNS and _RUN.fullmatch(path.name) is not None


def is_unmatched(path: PurePosixPath) -> bool:
    """Whether a path is one that `unmatched` gives."""
    return path.parent == UNMATCHED and _UNMATCHED.fullmatch(path.name) is not None


def temporary(path: PurePosixPath, token: str) -> PurePosixPath:
    """The path under which a file is written before it is renamed. Readers skip names that begin with a dot."""
    return path.with_name(f".{path.name}.{token}.tmp")


def is_temporary(name: str) -> bool:
    """Whether a file name is one that `temporary` gives."""
    return _TEMPORARY.fullmatch(name) is not None


def lock(path: PurePosixPath) -> PurePosixPath:
    """The path of the file that is locked while another file is written. It is hidden like those of `temporary`."""
    return path.with_name(f".{path.name}.lock")


def is_lock(name: str) -> bool:
    """Whether a file name is one that `lock` gives."""
    return _LOCK.fullmatch(name) is not None


def _path_of(file: TableFile) -> PurePosixPath:
    number, images, batch_size, seed = file.number or 0, file.images or "", file.batch_size or 0, file.seed or 0
    match file.table:
        case "scores":
            return scores(file.space, images, batch_size, seed, number)
        case "architectures":
            return architectures(file.space, number)
        case "joined":
            return joined(file.space, images, batch_size, seed)
        case _:
            return accuracies(file.space, file.source or "")


def _point(space: str, images: str, batch_size: int, seed: int) -> str:
    return f"{_field(space)}.{_field(images)}.batch-{batch_size}.seed-{seed}"


def _field(text: str) -> str:
    """Encode a name as one field. It is percent-encoded, and so is the dot, which separates fields."""
    return quote(text, safe="").replace(".", "%2E")
