"""Scores joined with trained accuracies, and whether they are still those that the dataset holds.

Each joined file tells what it was made from: a digest of the names and digests of each table's files. It also tells which join
it belongs to and how many files that has, so that what a killed join leaves is not taken for a whole one.
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
"""In a joined file's metadata: JSON, table -> SHA-256 of the names and digests of its files that the rows were made from."""

JOIN_KEY: Final = b"naswot_ray.join"
"""In a joined file's metadata: the id of its join, which follows from what it was made from."""

NUM_FILES_KEY: Final = b"naswot_ray.join_files"
"""In a joined file's metadata: how many files the join of the space has."""

TABLES: Final = ("scores", "architectures", "accuracies")
"""What joined rows are made from."""


class JoinedPoint(NamedTuple):
    """A point of the grid; the joined rows of each lie in a file of their own."""

    space: str
    images: str
    batch_size: int
    seed: int


@dataclass(frozen=True)
class StaleJoin:
    """A joined file whose rows are not those that a join would give now.

    Attributes:
        space: whose rows it holds.
        path: the file.
        newer: the tables that have changed since it was written; empty if the file does not tell what it was made from.
        is_there: whether the file exists.
    """

    space: str
    path: PurePosixPath
    newer: tuple[str, ...]
    is_there: bool = True

    @property
    def reason(self) -> str:
        """What is wrong with it, to be read after its name."""
        if not self.is_there:
            return "missing, the join is older than the scores"
        return f"older than the {' and '.join(self.newer)}" if self.newer else "of unknown age"


@dataclass(frozen=True)
class JoinReport:
    """What a join found.

    Attributes:
        space: which space was joined.
        num_rows: joined rows written.
        num_matched: architectures with scores and accuracies.
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
    """Write `joined/`: score rows with their architecture's baselines and mean accuracies, a row per accuracy.

    An architecture without a score or without an accuracy is not in the result; both kinds are listed in a CSV file beside it.

    Args:
        dataset: holds scores and accuracies.
        space: which space to join.

    Raises:
        DatasetError: there are no scores or no accuracies of the space, no architecture has both, or an accuracy is there
            twice. Nothing is written then.
    """
    storage = dataset.storage
    sources = _Sources(dataset)  # before the rows are read: what is written meanwhile makes the join stale
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
    """The spaces that a dataset has both scores and accuracies of, and those that it has only scores of; sorted."""
    scored, trained = ({_space_of(file.path) for file in dataset.files(table)} for table in ("scores", "accuracies"))
    return sorted(scored & trained), sorted(scored - trained)


def stale_joins(dataset: Dataset) -> list[StaleJoin]:
    """The joined files that are older than what they were made from, and those that a space with others lacks.

    Verifies the dataset's files, if that was not done before, and reads the footers of the joined ones. Empty where nothing
    was joined. A file of another table that is damaged counts as changed.

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
    """Spaces whose joined files are not those of one join, all of them, and what there is instead; sorted.

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
    """Refuse joined rows of which some are missing, as a join that was killed leaves them.

    Raises:
        DatasetError: names the spaces, and the command that joins them again.
    """
    lines = describe_unfinished(dataset, unfinished_joins(dataset))
    if lines:
        raise DatasetError("; ".join(lines))


def describe_unfinished(dataset: Dataset, unfinished: Mapping[str, str]) -> list[str]:
    """A line a space that tells what to do about a join that is not whole.

    Args:
        dataset: whose they are.
        unfinished: as `unfinished_joins` gives them.
    """
    folder = dataset.storage.path(layout.JOINED)
    return [f"{folder} holds {what} of {space}: {_remedy(dataset, space)}" for space, what in unfinished.items()]


def describe_stale(dataset: Dataset, stale: Sequence[StaleJoin]) -> list[str]:
    """A line a space that tells what to do about joined rows that are not up to date.

    Args:
        dataset: whose they are.
        stale: as `stale_joins` gives them.
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
    """The files that joined rows are made from, as they are now: a line each, with the digest and the path."""

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
        """Table -> digest of the files that the rows of a point are made from."""
        return {
            "scores": _digest(self.scores.get(point, ())),
            "architectures": _digest(self.architectures.get(point.space, ())),
            "accuracies": _digest(self.accuracies.get(point.space, ())),
        }


def _newer(sources: _Sources, point: JoinedPoint | None, made_from: bytes | None) -> tuple[str, ...] | None:
    """The tables that have changed since a joined file was written, as in `StaleJoin`; None if none has."""
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
    """Refuse accuracies that are there twice: every one of their scores would be joined twice."""
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
    """The joined rows of one point of the grid, sorted by architecture and accuracy.

    Args:
        connection: has `scores`, `architectures` and `accuracies`.
        measures: of the scores.
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
"""Column -> where it comes from; all others are of the scores."""

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
