"""The content digest of a table: the same rows have the same digest, whatever file, encoding or version of Arrow holds them."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def content_digest(table: pa.Table) -> str:
    """SHA-256 over the names, types and values of all columns, in the order of the rows.

    Per column: its name and type; which values are null, a bit each; then the values, nulls as zero or empty. Numbers are
    little-endian, strings are UTF-8 after their lengths in bytes.

    Args:
        table: columns of integers, floats and strings.
    """
    digest = hashlib.sha256()
    for field in table.schema:
        column = table.column(field.name)
        digest.update(f"{field.name}:{field.type}:{len(column)};".encode())
        digest.update(np.packbits(pc.is_valid(column).to_numpy()).tobytes())
        if pa.types.is_string(field.type):
            values = pc.fill_null(column, "")
            digest.update(pc.binary_length(values).to_numpy().astype("<i4").tobytes())
            digest.update("".join(values.to_pylist()).encode())
        else:
            values = pc.fill_null(column, 0).to_numpy()
            digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
