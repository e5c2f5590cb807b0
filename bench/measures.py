"""What all measures cost: CPU seconds of engine `fast` for the default measures, for all, and for each one beside the default.

    python -m bench.measures                                                 # NAS-Bench-201 and -101, batch sizes 32 and 128
    python -m bench.measures --space nats_sss --batch-size 64 --num 50 --data CIFAR

On each network all sets of measures run one after the other, in an order that rotates from network to network, after a warm-up:
on one thread, from the architecture's name to the values. A network's time is the least of some turns, since whatever else
runs on the machine only adds to it. Prints a Markdown table of the mean over the networks, and where the time of all measures
goes. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Annotated

import torch
import typer

from bench import one_thread
from bench.contestants import open_engine, score_group
from bench.samples import Sample, samples
from naswot_ray.images.source import load_images
from naswot_ray.measures import DEFAULT_MEASURES, all_measures

_ENGINE = "fast"


def main(
    space: Annotated[list[str] | None, typer.Option(help="Space; repeat for several.")] = None,
    batch_size: Annotated[list[int] | None, typer.Option(help="Images per batch; repeat for several.")] = None,
    num: Annotated[int, typer.Option(help="Networks of each space.")] = 20,
    turns: Annotated[int, typer.Option(help="Times that each network is measured.")] = 5,
    data: Annotated[Path | None, typer.Option(help="Folder of CIFAR-10; noise without.")] = None,
) -> None:
    """Measure and print tables."""
    torch.set_num_threads(1)
    source = load_images("cifar10", data) if data else load_images("noise")
    sets = measure_sets()
    costs: list[list[str]] = []
    stages: list[list[str]] = []
    for name in space or ["nasbench201", "nasbench101"]:
        networks = samples(name, num)
        for n in batch_size or [128, 32]:
            images = torch.from_numpy(source.batch(n, seed=0))
            for measures in sets.values():
                score_group(_ENGINE, [networks[0].build()], images, measures)
            seconds: defaultdict[str, list[float]] = defaultdict(list)
            by_stage: defaultdict[str, list[float]] = defaultdict(list)
            for number, sample in enumerate(networks):
                found = measure(sample, images, sets, turns, first=number)
                for label, least in found.items():
                    seconds[label].append(least)
                for stage, spent in open_engine(_ENGINE).last_stages.items():  # type: ignore[attr-defined]
                    by_stage[stage].append(spent)
            costs.append([name, str(n), *_compared({label: fmean(values) for label, values in seconds.items()})])
            stages.append([name, str(n), *(f"{1e3 * fmean(values):.2f}" for values in by_stage.values())])
            print(f"{name}, batch size {n}: {len(networks)} networks measured", flush=True)
    print()
    print(_table(["space", "batch size", "default", *(f"{label}, x default" for label in list(sets)[1:])], costs))
    print("\nMilliseconds of all measures, by stage:\n")
    print(_table(["space", "batch size", *by_stage], stages))


def measure_sets() -> dict[str, tuple[str, ...]]:
    """Label -> names of measures: the default ones, all that the engine gives, the default ones and one more."""
    possible = [one.name for one in all_measures().values() if one.statistics <= open_engine(_ENGINE).statistics]
    alone = {name: (*DEFAULT_MEASURES, name) for name in possible if name not in DEFAULT_MEASURES}
    return {"default": DEFAULT_MEASURES, "all": tuple(possible), **alone}


def measure(
    sample: Sample, images: torch.Tensor, sets: dict[str, tuple[str, ...]], turns: int, *, first: int
) -> dict[str, float]:
    """CPU seconds of each set of measures for one network, the least of some turns; all measures come last."""
    least: dict[str, float] = dict.fromkeys(sets, float("inf"))
    labels = list(sets)
    for turn in range(turns):
        for place in range(len(labels)):
            label = labels[(first + turn + place) % len(labels)]
            gc.collect()
            before = time.process_time()
            score_group(_ENGINE, [sample.build()], images, sets[label])
            least[label] = min(least[label], time.process_time() - before)
    score_group(_ENGINE, [sample.build()], images, sets["all"])
    return least


def _compared(seconds: dict[str, float]) -> list[str]:
    default = seconds["default"]
    return [f"{1e3 * default:.1f} ms", *(f"{seconds[label] / default:.3f}" for label in list(seconds)[1:])]


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    one_thread.restart("bench.measures")
    typer.run(main)
