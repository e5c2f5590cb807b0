"""What it costs to verify files before they are read: queries on made-up scores, as many as NAS-Bench-101 has architectures.

    python -m bench.verification --shard-size 256

Each time is from opening the dataset to the result, the best of three but for the first look, which is there once.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import duckdb
import typer

from bench.publication import make_dataset
from naswot_ray.dataset.dataset import Dataset

QUERIES = {
    "count": "SELECT count(*) FROM {scores}",
    "avg": "SELECT batch_size, avg(score), avg(seconds) FROM {scores} GROUP BY ALL",
}


def main(
    architectures: Annotated[int, typer.Option(help="Architectures.")] = 423_624,
    shard_size: Annotated[int, typer.Option(help="Rows per part.")] = 256,
) -> None:
    """Make a dataset, query it, print a table of seconds."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "d"
        os.environ["NASWOT_RAY_CACHE"] = str(Path(folder) / "cache")
        made = make_dataset(root, architectures, 1, shard_size, ["naswot", "naswot_paper"])
        files = [file for table in ("scores", "architectures") for file in made.files(table)]
        for file in files:  # what is younger than two seconds is read each time
            os.utime(made.storage.path(file.path), (time.time() - 3600,) * 2)
        print(f"{architectures:,} rows of scores, {len(files):,} files, {sum(file.size for file in files) / 2**20:.0f} MiB\n")
        print("| seconds | not verified | verified, first look | verified, known |\n|---|---|---|---|")
        for name, query in QUERIES.items():
            pattern = f"read_parquet('{root}/scores/part-*.parquet', hive_partitioning=false)"
            plain = best_of(3, partial(ask_plainly, query.format(scores=pattern)))
            for path in (Path(folder) / "cache").rglob("*.json"):
                path.unlink()
            first = best_of(1, partial(ask, root, query.format(scores="scores")))
            known = best_of(3, partial(ask, root, query.format(scores="scores")))
            print(f"| {name} | {plain:.2f} | {first:.2f} | {known:.2f} |")


def ask(root: Path, query: str) -> None:
    """Open the dataset and ask it, as `naswot-ray query` does."""
    with Dataset(root).connect() as connection:
        connection.execute(query).fetchall()


def ask_plainly(query: str) -> None:
    """Ask DuckDB alone."""
    duckdb.execute(query).fetchall()


def best_of(times: int, action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    typer.run(main)
