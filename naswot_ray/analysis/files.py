"""The files of an analysis: two Parquet tables and a Markdown document in one folder."""

from __future__ import annotations

import contextlib
from pathlib import PurePosixPath
from typing import Final

from naswot_ray.analysis.analyse import Analysis
from naswot_ray.analysis.markdown import render
from naswot_ray.dataset.seal import BrokenSealError
from naswot_ray.dataset.storage import Storage
from naswot_ray.errors import SettingsError

ROWS: Final = PurePosixPath("analysis.parquet")
STABILITY: Final = PurePosixPath("stability.parquet")
DOCUMENT: Final = PurePosixPath("analysis.md")

_SOURCE_KEY: Final = b"naswot_ray.analysis_of"
"""Parquet metadata: the dataset and which repeats, so that an analysis is replaced by a newer one of its kind alone."""


def check_free(output: Storage, source: str, repeats: str) -> None:
    """Refuse a folder that holds anything but an analysis of the same dataset and repeats.

    Raises:
        SettingsError: it does.
    """
    if output.is_empty():
        return
    kind = None
    if output.exists(ROWS):
        with contextlib.suppress(BrokenSealError), output.open_parquet(ROWS) as file:
            kind = (file.schema_arrow.metadata or {}).get(_SOURCE_KEY)
    if kind is None:
        raise SettingsError(f"{output.root} is not empty and holds no analysis; name another folder with --output")
    if kind != _kind(source, repeats):
        raise SettingsError(f"{output.root} holds the analysis of {kind.decode()}; name another folder with --output")


def write(analysis: Analysis, output: Storage, source: str) -> None:
    """Write an analysis; one of the same dataset and repeats that is there is replaced. See `check_free`."""
    kind = {_SOURCE_KEY: _kind(source, analysis.repeats)}
    document = render(analysis, source).encode()
    output.write_table(ROWS, analysis.rows.replace_schema_metadata(kind))  # first: by it the folder is known
    output.write_table(STABILITY, analysis.stability.replace_schema_metadata(kind))
    output.write_bytes(DOCUMENT, document)


def _kind(source: str, repeats: str) -> bytes:
    return f"{source}, {repeats} over repeats".encode()
