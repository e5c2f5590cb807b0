"""Seconds per network of each space: to build its graph and plan, and to score it, in this process on one thread.

    python bench/networks.py --space nasbench101 --space nats_sss --batch-size 32 --num 20

Random architectures of each space (the same ones every time), spaces interleaved; prints medians. Run it on an otherwise idle
machine. ImageNet-size spaces need --image-size, NDS spaces their file (--space-option source=data.zip).
"""

from __future__ import annotations

import statistics
import time
from typing import Annotated

import torch
import typer

from naswot_ray.engines.score import score
from naswot_ray.images.source import load_images
from naswot_ray.philox import sample_without_replacement
from naswot_ray.spaces import open_spaces


def main(
    space: Annotated[list[str] | None, typer.Option(help="Space; repeat for several.")] = None,
    batch_size: Annotated[list[int] | None, typer.Option(help="Images per batch; repeat for several.")] = None,
    num: Annotated[int, typer.Option(help="Networks of each space.")] = 20,
    image_size: Annotated[int | None, typer.Option(help="Height and width of the images.")] = None,
    space_option: Annotated[list[str] | None, typer.Option(help="PARAMETER=VALUE of a space; repeat for several.")] = None,
) -> None:
    """Measure seconds per network."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    spaces = open_spaces(space or ["nasbench101", "nasbench201", "nats_sss"], space_option or [])
    for name, opened in spaces.items():
        opened[0]  # lists the space
        print(
            f"{name}: {len(opened):,} architectures, listed {time.perf_counter() - started:.2f} s after the start", flush=True
        )
    source = load_images("noise", image_size=image_size)
    for n in batch_size or [32]:
        images = source.batch(n, seed=0)
        building: dict[str, list[float]] = {name: [] for name in spaces}
        scoring: dict[str, list[float]] = {name: [] for name in spaces}
        samples = {name: sample_without_replacement(("bench", name), len(s), min(num, len(s))) for name, s in spaces.items()}
        for repeat in range(num):
            for name, opened in spaces.items():
                if repeat >= len(samples[name]):
                    continue
                arch_id = opened[int(samples[name][repeat])]
                before = time.perf_counter()
                network = opened.network(arch_id, input_shape=source.shape)
                assert network.plan
                built = time.perf_counter()
                score(network, images, seed=0)
                building[name].append(built - before)
                scoring[name].append(time.perf_counter() - built)
        for name in spaces:
            mean, median = statistics.fmean(scoring[name]), statistics.median(scoring[name])
            print(
                f"{name}, batch size {n}: {1e3 * statistics.median(building[name]):.1f} ms to build, {median:.3f} s to score "
                f"(median of {len(scoring[name])}; mean {mean:.3f} s)",
                flush=True,
            )


if __name__ == "__main__":
    typer.run(main)
