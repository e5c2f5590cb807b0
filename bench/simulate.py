"""Simulates the whole grid (every space x 4 batch sizes x 10 seeds) on 8 to 4,096 GPUs, by the costs that driver.py measured.

    python bench/simulate.py --driver-ms 0.8 --part-ms 8 --plot docs/scaling.svg

A run is a queue of shards. A worker takes a shard, computes its architectures, writes the part and reports; the driver, one
process, spends `--driver-ms` on each report before the worker gets its next shard. Some workers are slow for good, machines of
eight are lost at random with the shards in work and come back later. What is not simulated: the start of the cluster, the
listing at the start of a run, and an object store that throttles.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

ARCHITECTURES = {
    "nasbench101": 423_624,
    "nasbench201": 15_625,
    "nats_sss": 32_768,
    "34 NDS families, 5,000 each (assumed)": 170_000,
}
NUM_POINTS = 4 * 10
"""Four batch sizes x ten seeds."""

GPUS_PER_NODE = 8
SLOW_SHARE, SLOW_FACTOR = 0.02, 2.0
SPREAD = 0.05
"""Standard deviation of the speed of the other workers, relative."""
ARCHITECTURE_SPREAD = 0.4
"""Standard deviation of the time of one architecture, relative."""
HOURS_BETWEEN_LOSSES = 20.0
"""Of one spot machine: 5 % an hour."""
SECONDS_TO_RETURN = 300.0


@dataclass(frozen=True)
class Outcome:
    """Of one simulated run.

    Attributes:
        seconds: from the first task to the last report.
        efficiency: time that the same workers would need if none ever waited, wrote, or was lost, over the time it took.
        driver_load: share of the time that the driver was busy.
        lost_share: work that was lost with machines, over all work.
    """

    seconds_per_architecture: float
    gpus: int
    shard_size: int
    shards: int
    seconds: float
    efficiency: float
    driver_load: float
    lost_share: float


def shard_sizes(shard_size: int) -> Iterator[int]:
    """Architectures of every shard of the grid, in the order in which a run takes them."""
    for size in ARCHITECTURES.values():
        for _ in range(NUM_POINTS):
            yield from (min(shard_size, size - start) for start in range(0, size, shard_size))


def simulate(
    seconds_per_architecture: float, gpus: int, shard_size: int, *, driver_seconds: float, part_seconds: float, seed: int = 0
) -> Outcome:
    """One run."""
    generator = np.random.default_rng(seed)
    speed = generator.normal(1, SPREAD, gpus).clip(0.8, 1.2)
    speed[generator.random(gpus) < SLOW_SHARE] *= SLOW_FACTOR
    sizes = np.array(list(shard_sizes(shard_size)))
    noise = generator.normal(1, ARCHITECTURE_SPREAD / np.sqrt(sizes)).clip(0.2)
    work = sizes * seconds_per_architecture * noise
    losses = _losses(generator, gpus, horizon=20 * work.sum() / gpus + 3600)

    waiting = list(range(len(work) - 1, -1, -1))
    free = [(0.0, worker) for worker in range(gpus)]
    heapq.heapify(free)
    driver_free = driver_busy = lost = end = 0.0
    while waiting:
        at, worker = heapq.heappop(free)
        # The driver takes the report and hands out the next shard, one worker after the other.
        begin = max(at, driver_free)
        driver_free = begin + driver_seconds
        driver_busy += driver_seconds
        shard = waiting.pop()
        done = driver_free + work[shard] * speed[worker] + part_seconds
        node_losses = losses[worker // GPUS_PER_NODE]
        while node_losses and node_losses[-1] < driver_free - SECONDS_TO_RETURN:
            node_losses.pop()
        if node_losses and node_losses[-1] < done:
            loss = node_losses[-1]
            lost += max(loss - driver_free, 0)
            waiting.append(shard)
            heapq.heappush(free, (max(loss, driver_free) + SECONDS_TO_RETURN, worker))
        else:
            end = max(end, done)
            heapq.heappush(free, (done, worker))
    return Outcome(
        seconds_per_architecture,
        gpus,
        shard_size,
        len(work),
        end,
        float(work.sum()) / float((1 / speed).sum()) / end,
        driver_busy / end,
        lost / float(work.sum()),
    )


def _losses(generator: np.random.Generator, gpus: int, horizon: float) -> list[list[float]]:
    """When each machine is lost, the next one last."""
    found = []
    for _ in range(-(-gpus // GPUS_PER_NODE)):
        count = generator.poisson(horizon / (3600 * HOURS_BETWEEN_LOSSES))
        found.append(sorted(generator.uniform(0, horizon, count), reverse=True))
    return found


def plot(outcomes: list[Outcome], path: Path) -> None:
    """Efficiency against shard size, a panel for each speed, a line for each number of GPUs."""
    import matplotlib as mpl  # noqa: PLC0415  only with --plot

    mpl.use("Agg")
    mpl.rcParams |= {"svg.hashsalt": "naswot-ray", "font.size": 9}
    import matplotlib.pyplot as plt  # noqa: PLC0415

    speeds = sorted({o.seconds_per_architecture for o in outcomes}, reverse=True)
    figure, panels = plt.subplots(1, len(speeds), figsize=(3.4 * len(speeds), 3.1), sharey=True, layout="constrained")
    styles = dict(zip(sorted({o.gpus for o in outcomes}), ("o-", "s--", "^-.", "D:"), strict=True))
    colours = dict(zip(styles, ("#0072B2", "#E69F00", "#009E73", "#CC79A7"), strict=True))
    for panel, speed in zip(np.atleast_1d(panels), speeds, strict=True):
        for gpus, style in styles.items():
            mine = sorted(
                (o for o in outcomes if (o.seconds_per_architecture, o.gpus) == (speed, gpus)), key=lambda o: o.shard_size
            )
            panel.plot(
                [o.shard_size for o in mine],
                [100 * o.efficiency for o in mine],
                style,
                color=colours[gpus],
                label=f"{gpus:,} GPUs",
            )
        panel.set_xscale("log", base=4)
        ticks = sorted({o.shard_size for o in outcomes})
        panel.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        panel.set_title(f"{1000 * speed:g} ms an architecture")
        panel.set_xlabel("shard size (architectures)")
        panel.grid(alpha=0.3)
        panel.set_ylim(0, 102)
    np.atleast_1d(panels)[0].set_ylabel("efficiency (%)")
    np.atleast_1d(panels)[0].legend(frameon=False, loc="lower left")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)


def main(
    driver_ms: Annotated[float, typer.Option(help="Of the driver a shard, as bench/driver.py measured.")] = 0.8,
    part_ms: Annotated[float, typer.Option(help="Of a worker to write a part.")] = 8.0,
    gpus: Annotated[list[int] | None, typer.Option(help="Repeat for several.")] = None,
    shard_size: Annotated[list[int] | None, typer.Option(help="Repeat for several.")] = None,
    architecture_ms: Annotated[list[float] | None, typer.Option(help="Of a GPU an architecture; repeat for several.")] = None,
    plot_to: Annotated[Path | None, typer.Option("--plot", help="Picture to write.")] = None,
    output: Annotated[Path | None, typer.Option(help="JSON file to write the figures to.")] = None,
) -> None:
    """Simulate and print a table."""
    outcomes = []
    print("ms/architecture   GPUs  shard size   shards       time  efficiency  driver busy  work lost")
    for speed in architecture_ms or [500.0, 30.0, 3.0]:
        for count in gpus or [8, 64, 512, 4096]:
            for size in shard_size or [16, 64, 256, 1024, 4096]:
                found = simulate(speed / 1000, count, size, driver_seconds=driver_ms / 1000, part_seconds=part_ms / 1000)
                outcomes.append(found)
                hours, minutes = found.seconds / 3600, found.seconds / 60
                time = f"{hours:.1f} h" if hours >= 1 else f"{minutes:.1f} min"
                print(
                    f"{speed:15g} {count:6,} {size:11,} {found.shards:8,} {time:>10}  {found.efficiency:9.1%} "
                    f"{found.driver_load:11.1%} {found.lost_share:10.2%}",
                    flush=True,
                )
    if output is not None:
        output.write_text(json.dumps([asdict(o) for o in outcomes], indent=2) + "\n")
    if plot_to is not None:
        plot(outcomes, plot_to)


if __name__ == "__main__":
    typer.run(main)
