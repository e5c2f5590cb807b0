"""Merging the rows of a part with new ones, and fitting them to columns that have changed since."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from naswot_ray.dataset.part_footer import told_versions
from naswot_ray.dataset.rows import ScoreRow, format_errors, merged, parse_errors
from naswot_ray.dataset.schema import STATUS_FAILED

_PLAIN: Final = tuple(field.name for field in fields(ScoreRow) if field.name not in ("values", "errors", "error"))
"""The attributes of a score row that are columns of the same name."""


def merge_scores(before: pa.Table, new: pa.Table, measures: Collection[str], wanted: Collection[str]) -> pa.Table:
    """Merge new rows of the scores table with those of a part.

    Args:
        before: the part's rows, with the columns of the new ones.
        new: the rows to write.
        measures: all measures that the table has columns of.
        wanted: the measures that the new rows were computed for.

    Returns:
        the rows of both tables, each architecture once, in no particular order.
    """
    again = pc.is_in(new["arch_index"], before["arch_index"].combine_chunks())
    held = pc.is_in(before["arch_index"], new["arch_index"].combine_chunks())
    old_rows = {row.arch_index: row for row in _score_rows(before.filter(held), measures)}
    both = [merged(old_rows[row.arch_index], row, wanted) for row in _score_rows(new.filter(again), measures)]
    return pa.concat_tables([before.filter(pc.invert(held)), new.filter(pc.invert(again)), _table_of(both, new.schema)])


def merge_architectures(before: pa.Table, new: pa.Table) -> pa.Table:
    """Merge new rows of the architectures table with those of a part: a failed row replaces only another failed one."""
    good = before.filter(pc.not_equal(before["status"], STATUS_FAILED))["arch_index"].combine_chunks()
    new = new.filter(pc.invert(pc.and_(pc.equal(new["status"], STATUS_FAILED), pc.is_in(new["arch_index"], good))))
    kept = pc.invert(pc.is_in(before["arch_index"], new["arch_index"].combine_chunks()))
    return pa.concat_tables([before.filter(kept), new])


def with_columns(table: pa.Table, columns: pa.Schema, measures: Mapping[str, int]) -> pa.Table:
    """A part's rows with the given columns. A column that it lacks, or has in another version of the measure, is null."""
    told = told_versions(table.schema.metadata)
    outdated = {name for name, version in measures.items() if told.get(name, version) != version}
    kept = set(table.column_names) - outdated
    arrays = [table[field.name] if field.name in kept else pa.nulls(len(table), field.type) for field in columns]
    return pa.table(arrays, schema=columns)


def without_dropped(table: pa.Table, measures: Collection[str], dropped: Collection[str]) -> pa.Table:
    """What remains of rows of the scores table after the values of some measures have been dropped.

    Errors of these measures are dropped too, and so are rows that have nothing left: they are computed again.

    Args:
        table: the rows, in which the dropped values are null already.
        measures: all measures that the table has columns of.
        dropped: those whose values were dropped.
    """
    remaining = []
    for row, status in zip(_score_rows(table, measures), table["status"].to_pylist(), strict=True):
        errors = {name: reason for name, reason in row.errors.items() if name not in dropped}
        if row.values or (status == STATUS_FAILED and (row.error is not None or errors)):
            remaining.append(replace(row, errors=errors))
    return _table_of(remaining, table.schema)


def _score_rows(table: pa.Table, measures: Collection[str]) -> list[ScoreRow]:
    rows = []
    for columns in table.to_pylist():
        values = {name: columns[name] for name in measures if columns[name] is not None}
        errors = parse_errors(columns["error"], measures)
        # A row without values has the errors of its measures, or one error for all of them.
        error = None if values or columns["error"] == format_errors(errors) else columns["error"]
        rows.append(ScoreRow(**{name: columns[name] for name in _PLAIN}, values=values, errors=errors, error=error))
    return rows


def _table_of(rows: Collection[ScoreRow], columns: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([row.columns() for row in rows], schema=columns)
