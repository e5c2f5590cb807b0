"""Scores joined with trained accuracies."""

from __future__ import annotations

import io
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv

from naswot_ray.dataset import layout
from naswot_ray.dataset.opening import Dataset
from naswot_ray.dataset.schema import JOINED
from naswot_ray.errors import DatasetError


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
        DatasetError: there are no scores or no accuracies of the space.
    """
    storage = dataset.storage
    with dataset.naming_damaged_files(), dataset.connect() as connection:
        scored = connection.execute(
            "SELECT DISTINCT arch_id, arch_index FROM scores WHERE space = ? ORDER BY ALL", [space]
        ).fetchall()
        trained = connection.execute("SELECT DISTINCT arch_id FROM accuracies WHERE space = ? ORDER BY ALL", [space]).fetchall()
        if not scored or not trained:
            raise DatasetError(f"{storage.root} holds no {'accuracies' if scored else 'scores'} of {space}: nothing to join")
        num_rows = 0
        points = connection.execute(
            "SELECT DISTINCT images, batch_size, seed FROM scores WHERE space = ? ORDER BY ALL", [space]
        ).fetchall()
        for point in points:
            rows = joined_rows(connection, space, *point)
            storage.write_table(layout.joined(space, *point), rows)
            num_rows += rows.num_rows
    with_score, with_accuracy = {arch_id for arch_id, _ in scored}, {arch_id for (arch_id,) in trained}
    only_scored = [arch_id for arch_id, _ in sorted(scored, key=lambda row: row[1]) if arch_id not in with_accuracy]
    only_trained = sorted(with_accuracy - with_score)
    unmatched = layout.unmatched(space)
    storage.write_bytes(unmatched, _csv(only_scored, only_trained))
    return JoinReport(space, num_rows, len(with_score & with_accuracy), only_scored, only_trained, storage.path(unmatched))


def joined_rows(connection: duckdb.DuckDBPyConnection, space: str, images: str, batch_size: int, seed: int) -> pa.Table:
    """The joined rows of one point of the grid; `schema.JOINED`, sorted by architecture and accuracy.

    Args:
        connection: has `scores`, `architectures` and `accuracies`.
        space, images, batch_size, seed: the point.
    """
    rows: pa.Table = connection.sql(_JOIN, params=[space, images, batch_size, seed]).to_arrow_table()
    return rows.cast(JOINED)


_JOIN = """
    SELECT space, arch_id, s.arch_index, s.images, s.batch_size, s.seed, s.score, s.score_paper, s.num_units, s.status,
        t.params, t.flops, t.num_relus, t.num_layers, a.dataset, a.split, a.epochs, a.accuracy, a.max_accuracy, a.num_repeats
    FROM scores s JOIN accuracies a USING (space, arch_id) LEFT JOIN architectures t USING (space, arch_id)
    WHERE space = ? AND s.images = ? AND s.batch_size = ? AND s.seed = ? AND a.seed IS NULL
    ORDER BY s.arch_index, a.dataset, a.split, a.epochs
"""


def _csv(only_scored: list[str], only_trained: list[str]) -> bytes:
    has = ["score"] * len(only_scored) + ["accuracy"] * len(only_trained)
    table = pa.table({"arch_id": pa.array([*only_scored, *only_trained], pa.string()), "has_only": pa.array(has, pa.string())})
    sink = io.BytesIO()
    pacsv.write_csv(table, sink)
    return sink.getvalue()
