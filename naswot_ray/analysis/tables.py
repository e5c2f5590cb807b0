"""The one place that fixes the columns and types of what an analysis writes. docs/analysis.md explains them to readers."""

from __future__ import annotations

from typing import Final

import pyarrow as pa


def _required(name: str, type_: pa.DataType) -> pa.Field:
    return pa.field(name, type_, nullable=False)


ANALYSIS: Final = pa.schema(
    [
        _required("space", pa.string()),
        _required("dataset", pa.string()),
        _required("split", pa.string()),
        _required("epochs", pa.int32()),
        _required("repeats", pa.string()),
        _required("images", pa.string()),
        _required("batch_size", pa.int32()),
        pa.field("seed", pa.int64()),
        _required("num_seeds", pa.int32()),
        _required("predictor", pa.string()),
        _required("metric", pa.string()),
        pa.field("given", pa.string()),
        pa.field("top_percent", pa.float64()),
        pa.field("top_k", pa.int32()),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("interval", pa.string()),
        _required("num_architectures", pa.int32()),
        _required("num_used", pa.int32()),
        _required("num_singular", pa.int32()),
        _required("num_missing", pa.int32()),
    ]
)
"""One row per number."""

STABILITY: Final = pa.schema(
    [
        _required("space", pa.string()),
        _required("predictor", pa.string()),
        _required("compared", pa.string()),
        _required("images", pa.string()),
        _required("other_images", pa.string()),
        _required("batch_size", pa.int32()),
        _required("other_batch_size", pa.int32()),
        pa.field("seed", pa.int64()),
        pa.field("other_seed", pa.int64()),
        pa.field("tau", pa.float64()),
        pa.field("spearman", pa.float64()),
        _required("num_architectures", pa.int32()),
    ]
)
"""One row for each pair of columns of a measure or rank sum that differ in one respect."""
