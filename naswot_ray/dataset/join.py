"""The join of scores with trained accuracies, and the check that it is up to date.

Each joined file records what it was made from: for each table a digest of the names and digests of its files. It also records
which join it belongs to and how many files that join has, so that the files of a killed join are not taken for a whole one.
"""

from __future__ import annotations

import hashlib
import io
import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv

from naswot_ray.dataset import layout
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.schema import BASELINES, schema_of
from naswot_ray.dataset.seal import BrokenSealError
from naswot_ray.dataset.sql import quoted
from naswot_ray.dataset.verification import in_threads
from naswot_ray.errors import DatasetError
from naswot_ray.spreadsheet import guarded

JOINED_FROM_KEY: Final = b"naswot_ray.joined_from"
"""A key of a joined file's metadata. Its value is JSON: table -> SHA-256 of the names and digests of the files that the rows
were made from."""

JOIN_KEY: Final = b"naswot_ray.join"
"""A key of a joined file's metadata: the id of its join, which is derived from what the join was made from."""

NUM_FILES_KEY: Final = b"naswot_ray.join_files"
"""A key of a joined file's metadata: how many files the join of its space has."""

TABLES: Final = ("scores", "architectures", "accuracies")
"""The tables that joined rows are made from."""


class JoinedPoint(NamedTuple):
    """A point of the grid. Each point's joined rows are in a file of their own."""

    space: str
    images: str
    batch_size: int
    seed: int


@dataclass(frozen=True)
class StaleJoin:
    """A joined file whose rows are not those that a join would give now.

    Attributes:
        space: the space of its rows.
        path: the file's path.
        newer: the tables that have changed since it was written; empty if the file does not record what it was made from.
        is_there: whether the file exists.
    """

    space: str
    path: PurePosixPath
    newer: tuple[str, ...]
    is_there: bool = True

    @property
    def reason(self) -> str:
        """What is wrong with the file, worded to follow its name."""
        if not self.is_there:
            return "missing, the join is older than the scores"
        return f"older than the {' and '.join(self.newer)}" if self.newer else "of unknown age"


@dataclass(frozen=True)
class JoinReport:
    """The result of a join.

    Attributes:
        space: the space that was joined.
        num_rows: how many joined rows were written.
        num_matched: how many architectures have both a score and an accuracy.
        only_scored: arch_ids with scores but no accuracy, in the space's order.
        only_trained: arch_ids with accuracies but no score, sorted.
        unmatched_path: the CSV file that lists both.
    """

    space: str
    num_rows: int
    num_matched: int
    only_scored: list[str]
    only_trained: list[str]
    unmatched_path: str


def join(dataset: Dataset, space: str) -> JoinReport:
    """Write the joined rows of a space: each score row with its architecture's baselines and one mean accuracy.

    A score row gives one joined row for each accuracy of its architecture. Architectures without a score or without an accuracy
    are left out, and a CSV file in `unmatched/` lists them.

    Args:
        dataset: the dataset, with scores and accuracies.
        space: the space to join.

    Raises:
        DatasetError: the space has no scores or no accuracies, no architecture has both, or an accuracy exists twice. Nothing
            is written then.
    """
    storage = dataset.storage
    sources = _Sources(dataset)  # taken before the rows are read, so that files written meanwhile make the join stale
    with dataset.naming_damaged_files(), dataset.connect(TABLES) as connection:
        scored = connection.execute(
            "SELECT DISTINCT arch_id, arch_index FROM scores WHERE space = ? ORDER BY ALL", [space]
        ).fetchall()
        trained = connection.execute(
            "SELECT DISTINCT arch_id FROM accuracies WHERE space = ? AND seed IS NULL ORDER BY ALL", [space]
        ).fetchall()
        if not scored or not trained:
            raise DatasetError(f"{storage.root} holds no {'accuracies' if scored else 'scores'} of {space}: nothing to join")
        with_score, with_accuracy = {arch_id for arch_id, _ in scored}, {arch_id for (arch_id,) in trained}
        if with_score.isdisjoint(with_accuracy):
            raise DatasetError(
                f"{storage.root}: none of the {len(with_score):,} architectures of {space} with a score (such as "
                f"{scored[0][0]}) is among the {len(with_accuracy):,} with an accuracy (such as {trained[0][0]}): import the "
                "accuracies of those that were scored, or score those that were trained"
            )
        _check_once(dataset, connection, space)
        num_rows = 0
        left_over = {file.path for file in dataset.files("joined") if _space_of(file.path) == space}
        points = [
            JoinedPoint(space, *point)
            for point in connection.execute(
                "SELECT DISTINCT images, batch_size, seed FROM scores WHERE space = ? ORDER BY ALL", [space]
            ).fetchall()
        ]
        made_from = {point: json.dumps(sources.digests_of(point)) for point in points}
        join_id = hashlib.sha256(json.dumps([[*point, made_from[point]] for point in points]).encode()).hexdigest()[:16]
        for point in points:
            rows = joined_rows(connection, dataset.measures, *point)
            metadata = {JOINED_FROM_KEY: made_from[point], JOIN_KEY: join_id, NUM_FILES_KEY: str(len(points))}
            path = layout.joined(*point)
            storage.write_table(path, rows.replace_schema_metadata(metadata))
            left_over.discard(path)
            num_rows += rows.num_rows
        for path in left_over:
            storage.remove(path)
    only_scored = [arch_id for arch_id, _ in sorted(scored, key=lambda row: row[1]) if arch_id not in with_accuracy]
    only_trained = sorted(with_accuracy - with_score)
    unmatched = layout.unmatched(space)
    storage.write_bytes(unmatched, _csv(only_scored, only_trained))
    return JoinReport(space, num_rows, len(with_score & with_accuracy), only_scored, only_trained, storage.path(unmatched))


def spaces_to_join(dataset: Dataset) -> tuple[list[str], list[str]]:
    """The spaces with both scores and accuracies, and the spaces with scores only; both sorted."""
    scored, trained = ({_space_of(file.path) for file in dataset.files(table)} for table in ("scores", "accuracies"))
    return sorted(scored & trained), sorted(scored - trained)


def stale_joins(dataset: Dataset) -> list[StaleJoin]:
    """Find the joined files that are older than the files they were made from, and those that a joined space lacks.

    This verifies the dataset's files, unless they have been verified before, and reads the footers of the joined ones. A
    damaged file of another table counts as changed. The result is empty if nothing has been joined.

    Raises:
        DatasetError: a joined file is damaged.
    """
    digests = {path: metadata.get(JOINED_FROM_KEY) for path, metadata in _footers(dataset).items()}
    if not digests:
        return []
    sources = _Sources(dataset)
    homes = {layout.joined(*point): point for point in sources.scores}
    joined_spaces = {_space_of(path) for path in digests}
    stale = []
    for path, made_from in digests.items():
        newer = _newer(sources, homes.get(path), made_from)
        if newer is not None:
            stale.append(StaleJoin(_space_of(path), path, newer))
    stale += [
        StaleJoin(point.space, path, ("scores",), is_there=False)
        for path, point in homes.items()
        if path not in digests and point.space in joined_spaces
    ]
    return sorted(stale, key=lambda one: one.path)


def unfinished_joins(dataset: Dataset) -> dict[str, str]:
    """Find the spaces whose joined files are not exactly the files of one join.

    Returns:
        space -> what there is instead, sorted by space.

    Raises:
        DatasetError: a joined file is damaged.
    """
    told: dict[str, Counter[tuple[bytes | None, bytes | None]]] = {}
    for path, metadata in _footers(dataset).items():
        told.setdefault(_space_of(path), Counter())[metadata.get(JOIN_KEY), metadata.get(NUM_FILES_KEY)] += 1
    found = {}
    for space, joins in sorted(told.items()):
        ((join_id, num_files), count), *others = joins.most_common()
        if others:
            found[space] = f"files of {len(joins)} joins"
        elif join_id is None or num_files is None:
            found[space] = "files that do not tell which join they belong to"
        elif num_files != str(count).encode():
            found[space] = f"{count} of the {int(num_files):,} files of the join"
    return found


def check_whole(dataset: Dataset) -> None:
    """Refuse to read joined rows if a join was killed and some of its rows are missing.

    Raises:
        DatasetError: rows are missing. The message names the spaces and the command that joins them again.
    """
    lines = describe_unfinished(dataset, unfinished_joins(dataset))
    if lines:
        raise DatasetError("; ".join(lines))


def describe_unfinished(dataset: Dataset, unfinished: Mapping[str, str]) -> list[str]:
    """Describe unfinished joins and what to do about them, one line per space.

    Args:
        dataset: the dataset.
        unfinished: from `unfinished_joins`.
    """
    folder = dataset.storage.path(layout.JOINED)
    return [f"{folder} holds {what} of {space}: {_remedy(dataset, space)}" for space, what in unfinished.items()]


def describe_stale(dataset: Dataset, stale: Sequence[StaleJoin]) -> list[str]:
    """Describe joined rows that are not up to date and what to do about them, one line per space.

    Args:
        dataset: the dataset.
        stale: from `stale_joins`.
    """
    lines = []
    for space in sorted({one.space for one in stale}):
        mine = [one for one in stale if one.space == space]
        tables = [table for table in TABLES if any(table in one.newer for one in mine)]
        what = f"older than the {' and '.join(tables)}" if tables else "of unknown age"
        lines.append(f"{space}: the join is {what} (files to be made again: {len(mine)}): {_remedy(dataset, space)}")
    return lines


def _remedy(dataset: Dataset, space: str) -> str:
    return f"run `naswot-ray join {shlex.quote(dataset.storage.root)} --space {space}` again"


def _footers(dataset: Dataset) -> dict[PurePosixPath, Mapping[bytes, bytes]]:
    """The metadata of the joined files.

    Raises:
        DatasetError: one is damaged.
    """
    with dataset.naming_damaged_files():
        fragments = list(dataset.joined.get_fragments()) if dataset.files("joined") else []
        told = in_threads(lambda fragment: fragment.metadata.metadata or {}, fragments)
        folder = layout.JOINED
        return {folder / PurePosixPath(fragment.path).name: one for fragment, one in zip(fragments, told, strict=True)}


class _Sources:
    """The files that joined rows would be made from now: one line for each, with its digest and path."""

    def __init__(self, dataset: Dataset) -> None:
        self.scores: dict[JoinedPoint, list[str]] = {}
        self.architectures: dict[str, list[str]] = {}
        self.accuracies: dict[str, list[str]] = {}
        for path, digest in dataset.verify("scores").items():
            self.scores.setdefault(_point_of(path), []).append(_line(path, digest))
        for name, by_space in (("architectures", self.architectures), ("accuracies", self.accuracies)):
            for path, digest in dataset.verify(name).items():
                by_space.setdefault(_space_of(path), []).append(_line(path, digest))

    def digests_of(self, point: JoinedPoint) -> dict[str, str]:
        """Table -> digest of the lines of the files that the rows of a point are made from."""
        return {
            "scores": _digest(self.scores.get(point, ())),
            "architectures": _digest(self.architectures.get(point.space, ())),
            "accuracies": _digest(self.accuracies.get(point.space, ())),
        }


def _newer(sources: _Sources, point: JoinedPoint | None, made_from: bytes | None) -> tuple[str, ...] | None:
    """`StaleJoin.newer` of a joined file; None if the file is up to date."""
    if point is None:
        return ("scores",)
    try:
        told = json.loads(made_from or b"null")
    except ValueError:
        told = None
    if not isinstance(told, dict):
        return ()
    digests = sources.digests_of(point)
    return tuple(table for table in TABLES if told.get(table) != digests[table]) or None


def _line(path: PurePosixPath, digest: str | BrokenSealError) -> str:
    return f"{digest if isinstance(digest, str) else 'damaged'} {path}\n"


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _space_of(path: PurePosixPath) -> str:
    file = layout.table_file(path)
    assert file is not None
    return file.space


def _point_of(path: PurePosixPath) -> JoinedPoint:
    file = layout.table_file(path)
    assert file is not None
    assert file.images is not None
    assert file.batch_size is not None
    assert file.seed is not None
    return JoinedPoint(file.space, file.images, file.batch_size, file.seed)


def _check_once(dataset: Dataset, connection: duckdb.DuckDBPyConnection, space: str) -> None:
    """Refuse accuracies that exist twice, because each of their scores would be joined twice."""
    twice = connection.execute(
        "SELECT arch_id, dataset, split, epochs FROM accuracies WHERE space = ? AND seed IS NULL "
        "GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL LIMIT 1",
        [space],
    ).fetchone()
    if twice is not None:
        arch_id, *key = twice
        raise DatasetError(
            f"{dataset.storage.root} holds the {'/'.join(map(str, key))} accuracy of {arch_id} twice: one of the files of "
            f"{space} in {dataset.storage.path(layout.accuracies(space, '').parent)} is a copy, remove it"
        )


def joined_rows(
    connection: duckdb.DuckDBPyConnection, measures: Sequence[str], space: str, images: str, batch_size: int, seed: int
) -> pa.Table:
    """The joined rows of one point of the grid, sorted by architecture and label.

    Args:
        connection: a connection with views of `scores`, `architectures` and `accuracies`.
        measures: the measures that score rows have columns of.
        space, images, batch_size, seed: the point.
    """
    columns = schema_of("joined", measures)
    names = ", ".join(_SOURCES.get(name, f"s.{quoted(name)}") for name in columns.names)
    rows: pa.Table = connection.sql(f"SELECT {names} {_JOIN}", params=[space, images, batch_size, seed]).to_arrow_table()
    return rows.cast(columns)


_SOURCES: Final = {
    "space": "space",
    "arch_id": "arch_id",
    **{name: f"t.{name}" for name in BASELINES},
    **{name: f"a.{name}" for name in ("dataset", "split", "epochs", "accuracy", "max_accuracy", "num_repeats")},
}
"""Column -> where it comes from. All other columns come from the scores."""

_JOIN = """
    FROM scores s JOIN accuracies a USING (space, arch_id) LEFT JOIN architectures t USING (space, arch_id)
    WHERE space = ? AND s.images = ? AND s.batch_size = ? AND s.seed = ? AND a.seed IS NULL
    ORDER BY s.arch_index, a.dataset, a.split, a.epochs
"""


def _csv(only_scored: list[str], only_trained: list[str]) -> bytes:
    has = ["score"] * len(only_scored) + ["accuracy"] * len(only_trained)
    arch_ids = pa.array(map(guarded, [*only_scored, *only_trained]), pa.string())
    table = pa.table({"arch_id": arch_ids, "has_only": pa.array(has, pa.string())})
    sink = io.BytesIO()
    pacsv.write_csv(table, sink)
    return sink.getvalue()
