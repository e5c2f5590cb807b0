"""What `naswot-ray analyse` costs on a whole NAS-Bench-101 with every measure at 9 points of the grid, SYNTHETIC ones.

    python -m bench.analysis /tmp/synthetic --accuracies nasbench101.parquet

Makes a joined dataset of 423,624 architectures x (3 batch sizes x 3 seeds) x 6 measures, unless it is there, and analyses it in
a process of its own: wall and CPU seconds, and peak memory. Accuracies and parameters are those of a table with the columns
`cifar10_test_acc_108` and `params`; without one they are synthetic too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from naswot_ray.analysis.correlation import FloatArray
from naswot_ray.dataset import layout, manifest, schema
from naswot_ray.dataset.join import JOIN_KEY, NUM_FILES_KEY
from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.storage import Storage
from naswot_ray.measures import own_measures

SPACE = "nasbench101"
NUM_ARCHITECTURES = 423_624
BATCH_SIZES = (32, 64, 128)
SEEDS = range(3)
SHARE_SINGULAR = 0.01
MEASURES = {name: one.version for name, one in own_measures().items()}


def make(root: Path, accuracies: Path | None) -> None:
    """Write the dataset: only what an analysis reads."""
    generator = np.random.default_rng(0)
    accuracy: FloatArray
    if accuracies is None:
        accuracy = 94 - 3 * generator.gamma(1.0, 1.0, NUM_ARCHITECTURES)
        params = generator.integers(227_274, 49_979_274, NUM_ARCHITECTURES)
    else:
        table = pq.read_table(accuracies, columns=["cifar10_test_acc_108", "params"])
        accuracy, params = table["cifar10_test_acc_108"].to_numpy(), table["params"].to_numpy().astype(np.int64)
    n = len(accuracy)
    order = np.argsort(np.argsort(accuracy)) / n
    quality = order + 0.5 * params / params.max() + generator.normal(scale=0.8, size=n)  # about the tau of the real score
    storage = Storage(root)
    joined = schema.schema_of("joined", MEASURES)
    settings = Settings(
        weights="synthetic", batches="synthetic", values={}, spaces={SPACE: {}}, images={"synthetic": {}}, measures=MEASURES
    )
    manifest.write(storage, manifest.create(settings, shard_size=16_384))
    same = {
        "space": pa.repeat(SPACE, n),
        "arch_id": pa.array([f"{i:032x}" for i in range(n)]),
        "arch_index": np.arange(n, dtype=np.int32),
        "images": pa.repeat("synthetic", n),
        "num_units": pa.repeat(pa.scalar(1000, pa.int64()), n),
        "params": params,
        "flops": params * 290 + generator.integers(0, 10_000_000, n),
        "num_relus": generator.integers(20, 60, n, dtype=np.int32),
        "num_layers": generator.integers(20, 60, n, dtype=np.int32),
        "dataset": pa.repeat("cifar10", n),
        "split": pa.repeat("test", n),
        "epochs": pa.repeat(pa.scalar(108, pa.int32()), n),
        "accuracy": accuracy,
        "max_accuracy": accuracy,
        "num_repeats": pa.repeat(pa.scalar(3, pa.int32()), n),
    }
    for batch_size in BATCH_SIZES:
        for seed in SEEDS:
            score = 13.0 * batch_size + quality + generator.normal(scale=1 / batch_size**0.5, size=n)
            is_singular = generator.random(n) < SHARE_SINGULAR
            score[is_singular] = -np.inf
            own = {
                "batch_size": pa.repeat(pa.scalar(batch_size, pa.int32()), n),
                "seed": pa.repeat(pa.scalar(seed, pa.int64()), n),
                **{name: quality + generator.normal(scale=1 / batch_size**0.5, size=n) for name in MEASURES},
                "naswot": score,
                "naswot_paper": score + generator.normal(scale=0.01, size=n),
                "status": np.where(is_singular, schema.STATUS_SINGULAR, schema.STATUS_OK),
            }
            columns = same | own
            table = pa.table([columns[name] for name in joined.names], names=joined.names)
            metadata = {JOIN_KEY: "made up", NUM_FILES_KEY: str(len(BATCH_SIZES) * len(SEEDS))}
            rows = table.cast(joined).replace_schema_metadata(metadata)
            storage.write_table(layout.joined(SPACE, "synthetic", batch_size, seed), rows)


def measure(root: Path, output: Path) -> dict[str, float]:
    """Analyse in a process of its own. Its peak memory is looked up every 20 ms: also what numpy and DuckDB take."""
    program = "from naswot_ray.cli import main; main()"
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", program, "analyse", str(root), "-o", str(output)]) as process:
        watched = psutil.Process(process.pid)
        peak, cpu_seconds = 0, 0.0
        while process.poll() is None:
            try:
                peak = max(peak, watched.memory_info().rss)
                cpu_seconds = sum(watched.cpu_times()[:2])
            except psutil.NoSuchProcess:
                break
            time.sleep(0.02)
    if process.returncode:
        raise SystemExit(process.returncode)
    seconds = time.perf_counter() - start
    return {"wall_seconds": seconds, "cpu_seconds": cpu_seconds, "peak_gib": peak / 2**30, "load": os.getloadavg()[0]}


def main(
    folder: Annotated[Path, typer.Argument(help="Where the dataset is made, and its analysis written.")],
    accuracies: Annotated[Path | None, typer.Option(help="Parquet table of NAS-Bench-101's accuracies.")] = None,
) -> None:
    """Print what an analysis costs as JSON."""
    root = folder / "scores"
    if not root.exists():
        make(root, accuracies)
    print(json.dumps({"rows": NUM_ARCHITECTURES * len(BATCH_SIZES) * len(SEEDS)} | measure(root, folder / "analysis")))


if __name__ == "__main__":
    typer.run(main)
