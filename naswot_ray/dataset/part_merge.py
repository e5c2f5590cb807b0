"""Merging the rows of a part with new ones, and fitting them to columns that have changed since."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from naswot_ray.dataset.part_footer import told_versions
from naswot_ray.dataset.rows import merged, status_of
from naswot_ray.dataset.schema import STATUS_FAILED


def merge(before: pa.Table, new: pa.Table, measures: Collection[str], wanted: Collection[str]) -> pa.Table:
    """Merge new rows with those of a part.

    Args:
        before: the part's rows, with the columns of the new ones.
        new: the rows to write.
        measures: all measures that the table has columns of.
        wanted: the measures that the new rows were computed for.

    Returns:
        the rows of both tables, each architecture once, in no particular order.
    """
    both = pc.is_in(new["arch_index"], before["arch_index"].combine_chunks())
    again = new.filter(both)["arch_index"].combine_chunks()
    old_rows = {row["arch_index"]: row for row in before.filter(pc.is_in(before["arch_index"], again)).to_pylist()}
    rows = [_merged(old_rows[row["arch_index"]], row, measures, wanted) for row in new.filter(both).to_pylist()]
    kept = before.filter(pc.invert(pc.is_in(before["arch_index"], again)))
    return pa.concat_tables([kept, new.filter(pc.invert(both)), pa.Table.from_pylist(rows, schema=new.schema)])


def _merged(
    old: Mapping[str, Any], new: Mapping[str, Any], measures: Collection[str], wanted: Collection[str]
) -> Mapping[str, Any]:
    if "run_id" in old:
        return merged(old, new, measures, wanted)
    return old if new["status"] == STATUS_FAILED and old["status"] != STATUS_FAILED else new


def with_columns(table: pa.Table, columns: pa.Schema, measures: Mapping[str, int]) -> pa.Table:
    """A part's rows with the given columns. A column that it lacks, or has in another version of the measure, is null."""
    told = told_versions(table.schema.metadata)
    outdated = {name for name, version in measures.items() if told.get(name, version) != version}
    kept = set(table.column_names) - outdated
    arrays = [table[field.name] if field.name in kept else pa.nulls(len(table), field.type) for field in columns]
    return pa.table(arrays, schema=columns)


def with_new_status(table: pa.Table, measures: Sequence[str]) -> pa.Table:
    """Update the status of rows after values have been dropped. Rows without any value left are dropped."""
    rows = []
    for row in table.to_pylist():
        status = status_of(row[name] for name in measures)
        if status != STATUS_FAILED or row["status"] == STATUS_FAILED:
            rows.append(row | {"status": status})
    return pa.Table.from_pylist(rows, schema=table.schema)
