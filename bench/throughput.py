"""Rows per second of the whole job (Ray, parts, everything) with 1, 2, ... actors, interleaved.

    python bench/throughput.py --limit 64 --batch-size 32 --actors 1 --actors 2 --repeats 3

Prints one line per run and the median for each number of actors. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from naswot_ray.run.job import score_spaces
from naswot_ray.run.options import ScoreOptions


def main(
    limit: Annotated[int, typer.Option(help="Architectures per run.")] = 64,
    batch_size: Annotated[int, typer.Option(help="Images per batch.")] = 32,
    actors: Annotated[list[int] | None, typer.Option(help="Numbers of actors to compare; repeat for several.")] = None,
    repeats: Annotated[int, typer.Option(help="Runs for each number of actors.")] = 3,
    shard_size: Annotated[int, typer.Option(help="Architectures per shard.")] = 8,
) -> None:
    """Measure rows per second through the real job."""
    rates: dict[int, list[float]] = {n: [] for n in actors or [1, 2]}
    for repeat in range(repeats):
        for num_actors, found in rates.items():
            with tempfile.TemporaryDirectory() as root:
                record = score_spaces(
                    ScoreOptions.checked(
                        output=Path(root) / "d",
                        limit=limit,
                        batch_size=[batch_size],
                        num_actors=num_actors,
                        shard_size=shard_size,
                    )
                )
            assert record.seconds is not None
            found.append(record.counts["rows"] / record.seconds)
            print(f"repeat {repeat}, {num_actors} actors: {found[-1]:.2f} rows/s", flush=True)
    for num_actors, found in rates.items():
        print(f"{num_actors} actors: median {statistics.median(found):.2f} rows/s of {len(found)} runs")


if __name__ == "__main__":
    typer.run(main)
