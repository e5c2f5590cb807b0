"""Makes datasets from written-down rows: the same files as those of a run, in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from naswot_ray.dataset import layout, manifest, parts, runs, schema
from naswot_ray.dataset.accuracies import AccuracyTable, StagedAccuracies, add_accuracies, batches_of, stage
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.part_state import Expected
from naswot_ray.dataset.rows import ArchitectureRow
from naswot_ray.dataset.schema import schema_of
from naswot_ray.dataset.storage import Storage
from naswot_ray.engines.weights import WEIGHTS_VERSION
from naswot_ray.grid.grid import Batch
from naswot_ray.grid.rows import failed_score_row
from naswot_ray.images.source import BATCH_VERSION, ImageSource, load_images
from naswot_ray.measures import own_measures
from naswot_ray.spaces import get_space

SPACE = "nasbench201"
MEASURES = {name: one.version for name, one in own_measures().items()}
"""The space of every dataset made here."""
TABLES = {name: schema_of(name, MEASURES) for name in schema.TABLES}
"""The columns of its tables."""
Row = dict[str, Any]
Change = Callable[[Row], Row]


def arch_id(index: int) -> str:
    """The architecture at a position in the space."""
    return get_space(SPACE)[index]


def score_row(index: int, *, images: str = "noise", batch_size: int = 4, seed: int = 0, **changes: Any) -> Row:
    """A score row. Its `naswot` is 100 + index unless changed."""
    row = dict.fromkeys(TABLES["scores"].names)
    row |= failed_score_row(get_space(SPACE), index, Batch(images, batch_size, seed), "", run_id="run").columns()
    computed = {"naswot": 100.0 + index, "naswot_paper": 50.0 + index, "num_units": 1000 + index, "status": "ok", "error": None}
    provenance = {"engine": "exact", "dtype": "float32", "device": "cpu"}
    return row | provenance | computed | changes


def failed_row(index: int, **key: Any) -> Row:
    """A score row that has no score."""
    return score_row(index, **key, **FAILED)


FAILED: Row = {"naswot": None, "naswot_paper": None, "num_units": None, "status": "failed", "error": "RuntimeError: no"}
SINGULAR: Row = {"naswot": float("-inf"), "status": "singular"}


def architecture_row(index: int) -> Row:
    """A row of the architectures table with made-up baselines."""
    row = ArchitectureRow(space=SPACE, arch_id=arch_id(index), arch_index=index).columns()
    derived = {"params": 10 * index, "flops": 20 * index, "num_relus": index, "num_layers": index + 1}
    return row | derived | {"isomorphism_class": f"class-{index}", "status": "ok"}


def settings(source: ImageSource | None = None) -> Settings:
    """The settings of a run on an image source, which is noise by default."""
    source = source or load_images("noise")
    return Settings(
        weights=WEIGHTS_VERSION,
        batches=BATCH_VERSION,
        values={"dtype": "float32"},
        spaces={SPACE: dict(get_space(SPACE).settings())},
        images={source.name: dict(source.settings())},
        measures=MEASURES,
    )


class Written:
    """A row as it is written down here, whatever it contains."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self.status: str = row["status"]

    def columns(self) -> Row:
        return self._row


def write_part(
    storage: Storage, path: PurePosixPath, rows: Sequence[Row], full_range: range | None = None, *, wanted: Collection[str] = ()
) -> None:
    """Write rows to a part. Its range is by default that of a dataset with four architectures per shard."""
    named = layout.table_file(path)
    assert named is not None
    assert named.number is not None
    parts.write(storage, expected(path, full_range), [Written(row) for row in rows], run_id="run", wanted=wanted)


def expected(path: PurePosixPath, full_range: range | None = None) -> Expected:
    """What a part has to be in a dataset with four architectures per shard."""
    named = layout.table_file(path)
    assert named is not None
    assert named.number is not None
    fingerprint = settings().fingerprint_of(SPACE, "noise" if named.images is not None else None)
    measures = MEASURES if named.images is not None else {}
    return Expected(path, full_range or range(named.number * 4, named.number * 4 + 4), fingerprint, measures)


def make_dataset(
    root: Path,
    *,
    indices: Iterable[int] = range(8),
    batch_sizes: tuple[int, ...] = (4,),
    seeds: tuple[int, ...] = (0,),
    shard_size: int = 4,
    source: ImageSource | None = None,
    limit: int | None = None,
    change: Change = lambda row: {},
) -> Dataset:
    """Make a dataset with the rows of some architectures, as one finished run leaves it.

    Args:
        root: folder of the dataset.
        indices: positions in the space that have rows.
        batch_sizes, seeds, shard_size: options of the run.
        source: source of the images, by default noise.
        limit: option of the run; by default the number of indices.
        change: score row -> the columns that are to be different.
    """
    indices, storage, source = list(indices), Storage(root), source or load_images("noise")
    contract = manifest.create(settings(source), shard_size=shard_size)
    manifest.write(storage, contract)
    numbers = {index // shard_size for index in indices}
    for number in sorted(numbers):
        mine = [index for index in indices if index // shard_size == number]
        full_range = range(number * shard_size, (number + 1) * shard_size)
        write_part(storage, layout.architectures(SPACE, number), [architecture_row(i) for i in mine], full_range)
        for batch_size in batch_sizes:
            for seed in seeds:
                path = layout.scores(SPACE, source.name, batch_size, seed, number)
                rows = [score_row(i, images=source.name, batch_size=batch_size, seed=seed) for i in mine]
                rows = [row | change(row) for row in rows]
                write_part(storage, path, rows, full_range)
    runs.write(
        storage,
        runs.RunRecord(
            run_id="20260101T000000-00000000",
            status="finished",
            started=datetime(2026, 1, 1, tzinfo=UTC),
            updated=datetime(2026, 1, 1, tzinfo=UTC),
            finished=datetime(2026, 1, 1, 0, 1, tzinfo=UTC),
            seconds=60.0,
            grid=runs.GridRecord(
                spaces=(SPACE,),
                num_architectures=(len(get_space(SPACE)),),
                images=source.name,
                batch_sizes=batch_sizes,
                seeds=seeds,
                limit=limit or len(indices),
            ),
            options={},
            fingerprint=contract.fingerprint,
            versions={},
            hardware={},
            counts={"rows": len(indices) * len(batch_sizes) * len(seeds)},
        ),
    )
    return Dataset(root)


def mean_accuracy(index: int, **changes: Any) -> Row:
    """An accuracy row without a seed: cifar10/test/200, and 90 - index percent unless changed."""
    row = {"arch_id": arch_id(index), "dataset": "cifar10", "split": "test", "epochs": 200, "accuracy": 90.0 - index}
    return row | {"max_accuracy": 91.0 - index, "num_repeats": 3} | changes


def staged(rows: list[Row], *, source: str = "table.csv", digest: str = "d" * 64) -> StagedAccuracies:
    """Accuracy rows as a reader gives them for a source."""
    return stage(AccuracyTable(SPACE, source, digest, batches_of(SPACE, digest, rows)))


def add(
    dataset: Dataset, rows: Iterable[Row], *, space: str = SPACE, source: str = "table.csv", digest: str = "d" * 64
) -> None:
    """Add accuracy rows to a dataset."""
    add_accuracies(dataset, stage(AccuracyTable(space, source, digest, batches_of(space, digest, rows))))


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table], **metadata: str) -> None:
    """Change the rows or the metadata of a table's file as a bug of this program would: with a correct seal."""
    with pq.ParquetFile(path) as file:
        table = file.read()
    kept = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
    write_sealed(path, change(table).replace_schema_metadata(kept | metadata))


def write_sealed(path: Path, table: pa.Table) -> None:
    """Write a table to the path of a table's file, with a correct seal."""
    Storage(path.parents[1]).write_table(PurePosixPath(path.parent.name, path.name), table)


def snapshot(root: str | Path) -> dict[str, bytes | None]:
    """Everything under a folder: relative path -> content, or None for a folder."""
    root = Path(root)
    return {str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in root.rglob("*")}
