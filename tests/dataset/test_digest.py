"""The content digest depends on names, types, values and order, and on nothing else."""

from __future__ import annotations

import hashlib
import struct

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naswot_ray.dataset.digest import content_digest

COLUMNS = pa.schema([("n", pa.int32()), ("x", pa.float64()), ("text", pa.string())])
ROWS = st.tuples(st.none() | st.integers(-9, 9), st.none() | st.floats(allow_nan=False), st.none() | st.text(max_size=3))


def table(rows: list[tuple[int | None, float | None, str | None]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(COLUMNS.names, row, strict=True)) for row in rows], schema=COLUMNS)


@given(st.lists(ROWS, max_size=5), st.lists(ROWS, max_size=5))
def test_tables_agree_exactly_if_their_digests_do(
    a: list[tuple[int | None, float | None, str | None]], b: list[tuple[int | None, float | None, str | None]]
) -> None:
    same = [tuple(map(repr, row)) for row in a] == [tuple(map(repr, row)) for row in b]  # repr tells 0.0 from -0.0
    assert (content_digest(table(a)) == content_digest(table(b))) is same


def test_chunks_and_slices_do_not_matter() -> None:
    rows: list[tuple[int | None, float | None, str | None]] = [(i, i / 3, str(i) * i) for i in range(20)] + [(None, None, None)]
    whole = table(rows)
    pieces = pa.concat_tables([whole.slice(0, 7), whole.slice(7, 1), whole.slice(8)])
    assert content_digest(pieces) == content_digest(whole)
    assert content_digest(table([(0, 0.0, "x"), *rows]).slice(1)) == content_digest(whole)


@pytest.mark.parametrize(
    "other",
    [
        COLUMNS.set(0, pa.field("m", pa.int32())),
        COLUMNS.set(0, pa.field("n", pa.int64())),
    ],
)
def test_names_and_types_count(other: pa.Schema) -> None:
    rows = [{"n": 1, "m": 1, "x": 2.0, "text": "a"}]
    assert content_digest(pa.Table.from_pylist(rows, schema=COLUMNS)) != content_digest(
        pa.Table.from_pylist(rows, schema=other)
    )


def test_it_is_what_the_documentation_says() -> None:
    """Byte for byte, so that another program can compute it, and a later version of this one agrees."""
    expected = hashlib.sha256()
    expected.update(b"n:int32:2;" + b"\x80" + struct.pack("<ii", 1, 0))
    expected.update(b"x:double:2;" + b"\x80" + struct.pack("<dd", -0.5, 0))
    expected.update(b"text:string:2;" + b"\x80" + struct.pack("<ii", 2, 0) + "é".encode())
    assert content_digest(table([(1, -0.5, "é"), (None, None, None)])) == expected.hexdigest()
