"""`publish`: a folder that holds a dataset's rows in few files, and all that a stranger needs to use, check and cite them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, Final

from naswot_ray.dataset import layout
from naswot_ray.dataset.confinement import confined
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.storage import StoredFile
from naswot_ray.errors import DatasetError, SettingsError
from naswot_ray.paths import expand_home, is_uri, without_credentials
from naswot_ray.publish import card, croissant, provenance, quality_page, sources
from naswot_ray.publish.compaction import FileFormat, PublishedTable, write_table
from naswot_ray.publish.contents import Contents, DataFile
from naswot_ray.publish.quality import Quality, assess

CARD: Final = "README.md"
CROISSANT: Final = "croissant.json"
PROVENANCE: Final = "provenance.json"
QUALITY: Final = "quality"
DIGESTS: Final = "SHA256SUMS"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Publication:
    """What has been published.

    Attributes:
        folder: where it lies.
        tables: what it holds.
        quality: what was found out about it.
        num_bytes: of the data files.
    """

    folder: Path
    tables: list[PublishedTable]
    quality: Quality
    num_bytes: int


def publish(
    dataset: Dataset,
    output: str | os.PathLike[str],
    *,
    file_format: FileFormat = FileFormat.PARQUET,
    include_accuracies: bool = False,
    repository: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Publication:
    """Write a dataset to a new folder, which is there when it is complete and not before.

    The same dataset gives the same bytes, with the same versions of this package and of Arrow.

    Args:
        dataset: what runs have filled. Rows that are missing stay missing, and the card and the report say how many.
        output: a folder that does not exist, or is empty.
        file_format: of the data files.
        include_accuracies: whether accuracies, and scores joined with them, are published too; they are third parties'.
        repository: OWNER/NAME on the Hugging Face Hub that the card is to speak of.
        progress: called with the files that have been checked, and all of them.

    Raises:
        DatasetError: a file is damaged, rows contradict each other, a part holds another version of a measure, a run writes to
            the dataset meanwhile, the disk is full.
        SettingsError: the folder is not empty, or not a local one.
    """
    target = _checked_target(dataset, output)
    files = sources.checked_files(dataset, progress)
    with _staged(target) as (folder, scratch):
        tables = _write_tables(dataset, files, folder / "data", scratch, file_format, include_accuracies)
        with sources.connect(tables, dataset.measures, file_format, scratch) as connection:
            quality = assess(dataset, tables, connection)
            contents = Contents(
                tables=tables,
                files={path: _data_file(path, folder) for table in tables for path in table.paths},
                format=file_format,
                repository=repository,
                quality=quality,
                settings=dataset.manifest,
                runs=dataset.runs,
                commands=[
                    *provenance.score_commands(dataset),
                    *provenance.accuracy_commands(dataset),
                    _command(file_format, include_accuracies),
                ],
                changed=provenance.last_change(dataset),
                sources=provenance.accuracy_sources(dataset),
                has_accuracies=any(table.table == "accuracies" for table in tables),
            )
        _write_json(folder / PROVENANCE, _provenance(dataset, contents))
        _write_json(folder / f"{QUALITY}.json", quality.to_json())
        (folder / f"{QUALITY}.md").write_text(quality_page.quality_page(contents), "utf-8")
        (folder / CARD).write_text(card.card(contents), "utf-8")
        _write_json(folder / CROISSANT, croissant.describe(contents))
        _write_digests(folder)
        if sources.table_files(dataset) != files:
            raise DatasetError(
                f"{dataset.storage.root} changed while it was published: wait until the runs that write to it end"
            )
    return Publication(target, tables, quality, sum(file.num_bytes for file in contents.files.values()))


def _checked_target(dataset: Dataset, output: str | os.PathLike[str]) -> Path:
    if is_uri(output):
        raise SettingsError(
            f"{without_credentials(os.fspath(output))}: expected a local folder; --push uploads it to the Hugging Face Hub"
        )
    target = expand_home(output).absolute()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise SettingsError(f"{target} is there and not an empty folder: name another one, or remove it")
    local = dataset.storage.local
    if local is not None and target.resolve().is_relative_to(local.resolve()):
        raise SettingsError(f"{target} lies in the dataset itself: name a folder outside it")
    return target


@contextlib.contextmanager
def _staged(target: Path) -> Iterator[tuple[Path, Path]]:
    """A folder beside the target that takes its place at the end, and one for what is of no use afterwards."""
    token = secrets.token_hex(4)
    folder, scratch = (target.with_name(f".{target.name}.{token}.{kind}") for kind in ("tmp", "scratch"))
    try:
        try:
            folder.mkdir(parents=True)
            yield folder, scratch
            folder.rename(target)  # also onto an empty folder
        except OSError as error:
            raise DatasetError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        for path in (folder, scratch):
            shutil.rmtree(path, ignore_errors=True)


def _write_tables(
    dataset: Dataset, files: list[StoredFile], folder: Path, scratch: Path, file_format: FileFormat, include_accuracies: bool
) -> list[PublishedTable]:
    tables = []
    named = [found for file in files if (found := layout.table_file(file.path)) is not None]
    spaces = sorted({file.space for file in named if file.table == "scores"})
    trained = {file.space for file in named if file.table == "accuracies"}
    for space in spaces:
        home = confined(folder, space)
        for table in sources.OWN_TABLES:
            pieces = sources.rows_of_parts(dataset, files, table, space)
            tables.append(write_table(home, space, table, pieces, dataset.manifest, file_format))
        if include_accuracies and space in trained:
            pieces = sources.accuracies_of(dataset, space, scratch)
            tables.append(write_table(home, space, "accuracies", pieces, dataset.manifest, file_format))
            with sources.connect(tables, dataset.measures, file_format, scratch) as connection:
                pieces = sources.joined_of(connection, dataset.measures, space)
                tables.append(write_table(home, space, "joined", pieces, dataset.manifest, file_format))
    return [table for table in tables if table.num_rows]


def _data_file(path: Path, folder: Path) -> DataFile:
    return DataFile(PurePosixPath(path.relative_to(folder)), path.stat().st_size, _sha256(path))


def _command(file_format: FileFormat, include_accuracies: bool) -> str:
    words = ["naswot-ray", "publish", provenance.DATASET, "-o", "DIR"]
    if file_format is not FileFormat.PARQUET:
        words += ["--format", str(file_format)]
    if include_accuracies:
        words += ["--include-accuracies"]
    return " ".join(words)


def _provenance(dataset: Dataset, contents: Contents) -> dict[str, Any]:
    return {
        "dataset": dataset.manifest.model_dump(mode="json"),
        "measures": provenance.measures(contents.quality, dataset.manifest.settings),
        "runs": provenance.runs(dataset),
        "commands": contents.commands,
        "published_with": {name: version(name) for name in ("naswot-ray", "pyarrow", "duckdb")},
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", "utf-8")


def _write_digests(folder: Path) -> None:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths]
    (folder / DIGESTS).write_text("".join(lines), "utf-8")
    _sha256(folder / DIGESTS)


def _sha256(path: Path) -> str:
    """The digest of a file, which is also flushed to the disk: once the folder has its name, all of it must be there."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()
