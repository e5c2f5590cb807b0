"""Seconds per network of every engine beside the published procedure, on the same networks, images and thread.

    python -m bench.engines                                                       # every space, batch sizes 32 and 128
    python -m bench.engines --space nasbench201 --batch-size 128 --num 50 --data CIFAR --output figures/engines

For each network all engines run one after the other, in an order that rotates from network to network, after a warm-up. Times
are CPU seconds of the process on one thread and seconds on the wall; an engine's hold everything from the architecture's name
to the score, and one that takes several networks at once gets them so. Memory is measured last, each engine in a new process.
`--output` is a folder: `measurements.parquet` (a row for each network and engine), `summary.parquet` and `ratio.svg`. Run it on
an otherwise idle machine.
"""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Annotated

import torch
import typer

from bench import one_thread
from bench.contestants import PUBLISHED, Contestant, open_contestant
from bench.memory import peak_mib
from bench.report import Measurement, plot, print_tables, summarise, write_measurements, write_summary
from bench.samples import SPACES, Sample, samples
from naswot_ray.images.source import load_images
from naswot_ray.network import Network, ops

_PEAK_SIZE = 1536


def main(
    space: Annotated[list[str] | None, typer.Option(help="Space; repeat for several.")] = None,
    batch_size: Annotated[list[int] | None, typer.Option(help="Images per batch; repeat for several.")] = None,
    engine: Annotated[
        list[str] | None, typer.Option(help="`published` or an engine: exact, fast, cuda, cuda:tf32, ...; repeat for several.")
    ] = None,
    num: Annotated[int, typer.Option(help="Networks of each space.")] = 20,
    published_num: Annotated[int | None, typer.Option(help="Of these, the first that `published` runs on.")] = None,
    memory_num: Annotated[int, typer.Option(help="Networks of each space to measure memory on; 0 for none.")] = 2,
    device: Annotated[str, typer.Option(help="Where the images are: cpu or cuda.")] = "cpu",
    data: Annotated[Path | None, typer.Option(help="Folder of CIFAR-10; noise without.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder to write the figures to.")] = None,
) -> None:
    """Measure and print tables."""
    torch.set_num_threads(1)
    source = load_images("cifar10", data) if data else load_images("noise")
    spaces, batch_sizes = space or list(SPACES), batch_size or [32, 128]
    contestants = [open_contestant(name) for name in engine or [PUBLISHED, "exact", "fast"]]
    drawn = {name: samples(name, num) for name in spaces}
    peak = peak_gflops(device)
    facts = {"machine": _machine(device), "torch": torch.__version__, "images": source.name}
    print(f"{facts}; fp32 GEMM {peak:.1f} GFLOP/s", flush=True)

    measurements: list[Measurement] = []
    for n in batch_sizes:
        images = torch.from_numpy(source.batch(n, seed=0)).to(device)
        for name, networks in drawn.items():
            for contestant in contestants:
                measure(contestant, networks[: contestant.max_group], images)
            for number in range(len(networks)):
                for turn in range(len(contestants)):
                    contestant = contestants[(number + turn) % len(contestants)]
                    limit = published_num if contestant.name == PUBLISHED else None
                    group = networks[:limit][number : number + contestant.max_group]
                    if group and number % contestant.max_group == 0:
                        found = measure(contestant, group, images)
                        measurements += [replace(m, space=name, network=number + i, turn=turn) for i, m in enumerate(found)]
            print(f"{name}, batch size {n}: {len(networks)} networks measured", flush=True)
            if output is not None:
                write_measurements(measurements, output, facts)
    peak = max(peak, peak_gflops(device))

    memory = {
        (name, n, contestant.name): peak_mib(name, n, contestant.name, num=memory_num, device=device)
        for n in batch_sizes
        for name in spaces
        for contestant in contestants
        if memory_num
    }
    summary = summarise(measurements, memory, peak, on_wall=device != "cpu")
    print_tables(summary, peak, on_wall=device != "cpu")
    if output is not None:
        write_summary(summary, output, facts | {"fp32_gemm_gflops": f"{peak:.1f}"})
        plot(summary, output / "ratio.svg")


def measure(contestant: Contestant, group: Sequence[Sample], images: torch.Tensor) -> list[Measurement]:
    """Time the networks of a group, which share its time evenly; garbage of others is collected before."""
    contestant.prepare(group)
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    contestant.run(images)
    cpu, wall = (time.process_time() - cpu) / len(group), (time.perf_counter() - wall) / len(group)
    stages = {stage: seconds / len(group) for stage, seconds in (contestant.last_stages or {}).items()}
    return [
        Measurement(
            space="",
            batch_size=len(images),
            network=0,
            arch_id=sample.arch_id,
            engine=contestant.name,
            turn=0,
            cpu_seconds=cpu,
            wall_seconds=wall,
            gflop=2e-9 * len(images) * num_macs(sample.build()),
            stages=stages,
        )
        for sample in group
    ]


def num_macs(network: Network) -> int:
    """Multiply-accumulates for one image of the convolutions that the kernel depends on: one forward pass, nothing dead."""
    return sum(
        prod(step.op.weight_shape) * prod(step.shape[1:]) for step in network.plan.steps if isinstance(step.op, ops.Conv)
    )


def peak_gflops(device: str) -> float:
    """What a float32 matrix product reaches here, in GFLOP/s: the best of ten."""
    a, b = (torch.randn(_PEAK_SIZE, _PEAK_SIZE, device=device) for _ in "ab")
    seconds = []
    for _ in range(12):
        before = time.perf_counter()
        (a @ b)[0, 0].item()
        seconds.append(time.perf_counter() - before)
    return 2e-9 * _PEAK_SIZE**3 / min(seconds[2:])


def _machine(device: str) -> str:
    if device != "cpu":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    one_thread.restart("bench.engines")
    typer.run(main)
