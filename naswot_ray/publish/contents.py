"""What a publication holds, as the card, the Croissant file and the report tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from naswot_ray.dataset import schema
from naswot_ray.dataset.manifest import Manifest
from naswot_ray.dataset.runs import RunRecord
from naswot_ray.dataset.schema import Column
from naswot_ray.publish.compaction import FileFormat, PublishedTable
from naswot_ray.publish.provenance import AccuracySource
from naswot_ray.publish.quality import Quality


@dataclass(frozen=True)
class DataFile:
    """A data file: its path in the publication, size and SHA-256."""

    path: PurePosixPath
    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class Contents:
    """Everything that is told of a publication.

    Attributes:
        tables: by space, in the order in which they are listed.
        files: of the tables, by where they lie now.
        format: of the files.
        repository: OWNER/NAME on the Hugging Face Hub, None if not known.
        quality: the report.
        settings: what all rows have in common.
        runs: oldest first.
        commands: that make it again.
        changed: when the last row was written.
        sources: of the dataset's accuracies.
        has_accuracies: whether the accuracies are published.
    """

    tables: list[PublishedTable]
    files: Mapping[Path, DataFile]
    format: FileFormat
    repository: str | None
    quality: Quality
    settings: Manifest
    runs: list[RunRecord]
    commands: list[str]
    changed: datetime | None
    sources: list[AccuracySource]
    has_accuracies: bool

    @property
    def published_sources(self) -> list[AccuracySource]:
        """The sources of published accuracies."""
        return self.sources if self.has_accuracies else []

    @property
    def spaces(self) -> list[str]:
        """The spaces, sorted."""
        return sorted({table.space for table in self.tables})

    @property
    def measures(self) -> Mapping[str, int]:
        """Measure -> version, of those that score rows have columns of, with a value or without."""
        return self.settings.settings.measures

    @property
    def measured(self) -> list[str]:
        """Those of `measures` that have a value in any row."""
        return self.quality.measured

    def columns_of(self, table: str) -> list[Column]:
        """The columns of a table. The meaning of one that holds no value of a measure says so."""
        empty = set(self.measures) - set(self.measured)
        return [
            replace(column, meaning=f"{column.meaning}; no row of this dataset has a value") if column.name in empty else column
            for column in schema.columns_of(table, self.measures)
        ]

    def files_of(self, table: PublishedTable) -> list[DataFile]:
        """The files of a table, in order."""
        return [self.files[path] for path in table.paths]

    def pattern_of(self, table: PublishedTable) -> str:
        """The paths of a table's files with a wildcard, relative to the publication."""
        return f"data/{table.space}/{table.table}-*.{self.format}"
