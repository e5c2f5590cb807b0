"""Time and memory of `naswot-ray publish` on made-up scores with accuracies, as many as a whole grid over NAS-Bench-101 has.

    python bench/publication.py --points 40 --shard-size 4096 --measures 6

The parts are written first, which takes longer than publishing them and is not counted. Peak memory is the process's own.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from naswot_ray.dataset import layout, manifest, part_footer, runs, schema
from naswot_ray.dataset.accuracies import AccuracyTable, add_accuracies, batches_of, stage
from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.storage import Storage
from naswot_ray.measures import own_measures
from naswot_ray.publish.publish import publish

SPACE, IMAGES, BATCH_SIZE = "nasbench101", "cifar10", 64


def main(
    architectures: Annotated[int, typer.Option(help="Architectures.")] = 423_624,
    points: Annotated[int, typer.Option(help="Seeds, each with all architectures.")] = 40,
    shard_size: Annotated[int, typer.Option(help="Rows per part.")] = 4096,
    measures: Annotated[int, typer.Option(help="Measures that every row has a value of, up to as many as there are.")] = 6,
) -> None:
    """Make a dataset, publish it, print what that took."""
    with tempfile.TemporaryDirectory() as root:
        dataset = make_dataset(Path(root) / "d", architectures, points, shard_size, list(own_measures())[:measures])
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of making it
        before, started = resident_mib("VmRSS"), time.perf_counter()
        publication = publish(dataset, Path(root) / "out")
        seconds, peak = time.perf_counter() - started, resident_mib("VmHWM")
        rows = sum(table.num_rows for table in publication.tables if table.table == "scores")
        files = sum(len(table.paths) for table in publication.tables)
        print(f"{rows:,} rows of {-(-architectures // shard_size) * points:,} parts in {seconds:.0f} s, {files} files of")
        print(f"{publication.num_bytes / 2**20:,.0f} MiB; resident {before:,.0f} MiB before, at most {peak:,.0f} MiB")


def resident_mib(field: str) -> float:
    """Of this process. Not `ru_maxrss`: a new process inherits its parent's there."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def make_dataset(root: Path, architectures: int, points: int, shard_size: int, measures: list[str]) -> Dataset:
    """A dataset of made-up scores, `points` seeds with all architectures, and an accuracy of each."""
    storage = Storage(root)
    versions = {name: one.version for name, one in own_measures().items()}
    settings = Settings(
        weights="made up", batches="made up", values={}, spaces={SPACE: {}}, images={IMAGES: {}}, measures=versions
    )
    contract = manifest.create(settings, shard_size=shard_size)
    manifest.write(storage, contract)
    rng = np.random.default_rng(0)
    arch_ids = [rng.bytes(16).hex() for _ in range(architectures)]
    accuracies = rng.uniform(80, 95, architectures)
    for start in range(0, architectures, shard_size):
        ids = arch_ids[start : start + shard_size]
        common = {"space": SPACE, "arch_id": ids, "arch_index": np.arange(start, start + len(ids)), "status": "ok"}
        baselines = {name: rng.integers(1, 10**7, len(ids)) for name in schema.BASELINES} | {"architecture": ids}
        _write(storage, settings, layout.architectures(SPACE, start // shard_size), schema.ARCHITECTURES, common | baselines)
        for seed in range(points):
            made_up = {
                "images": IMAGES,
                "batch_size": BATCH_SIZE,
                "seed": seed,
                "num_units": 10**6,
                **{name: rng.normal(750, 50, len(ids)) for name in measures},
                "engine": "fast",
                "dtype": "float32",
                "device": "cpu",
                "run_id": "made-up",
                "seconds": rng.uniform(0.01, 0.1, len(ids)),
            }
            path = layout.scores(SPACE, IMAGES, BATCH_SIZE, seed, start // shard_size)
            _write(storage, settings, path, schema.schema_of("scores", versions), common | made_up, measures)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    grid = runs.GridRecord(
        spaces=(SPACE,),
        images=IMAGES,
        batch_sizes=(BATCH_SIZE,),
        seeds=tuple(range(points)),
        num_architectures=(architectures,),
        measures=tuple(measures),
    )
    record = runs.RunRecord(
        run_id="made-up",
        status="finished",
        started=now,
        updated=now,
        finished=now,
        grid=grid,
        options={},
        fingerprint=contract.fingerprint,
        versions={},
        hardware={},
        counts={"rows": architectures * points},
    )
    runs.write(storage, record)
    dataset = Dataset(root)
    label = {"dataset": "cifar10", "split": "test", "epochs": 108}
    rows = [label | {"arch_id": arch_id, "accuracy": float(value)} for arch_id, value in zip(arch_ids, accuracies, strict=True)]
    add_accuracies(dataset, stage(AccuracyTable(SPACE, "made-up.csv", "0" * 64, batches_of(SPACE, "0" * 64, rows))))
    return dataset


def _write(
    storage: Storage,
    settings: Settings,
    path: PurePosixPath,
    columns: pa.Schema,
    values: dict[str, Any],
    measures: Sequence[str] = (),
) -> None:
    size = len(values["arch_id"])
    arrays = [
        pa.nulls(size, field.type)
        if field.name not in values
        else pa.array([value] * size if isinstance(value := values[field.name], str | int) else value, field.type)
        for field in columns
    ]
    table = pa.Table.from_arrays(arrays, schema=columns)
    images = IMAGES if measures else None
    metadata = {
        part_footer.VERSION_KEY: schema.SCHEMA_VERSION,
        part_footer.NUM_FAILED_KEY: "0",
        part_footer.MEASURES_KEY: json.dumps({name: [settings.measures[name], 0] for name in measures}),
        part_footer.FINGERPRINT_KEY: settings.fingerprint_of(SPACE, images),
    }
    storage.write_table(path, table.replace_schema_metadata(metadata))


if __name__ == "__main__":
    typer.run(main)
