"""What tf32 and bfloat16 do to scores, emulated on a CPU: the engine `exact` with its convolutions' operands rounded.

    python -m bench.precision --num 200 --batch-size 32 --data CIFAR

`tf32`: images, activations and weights are rounded to 10 bits behind the point before each product. `bfloat16`: to 7 bits, and
each convolution's result as well, which is what the engine `cuda` stores. Sums are float32 throughout. Columns: networks, mean
and largest difference of the score from float32's, rank agreement with it; and what another seed does to the score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
import typer
from scipy import stats

from bench import one_thread
from bench.contestants import SEED
from bench.samples import Sample, samples
from naswot_ray.engines.score import score
from naswot_ray.images.source import load_images

Round = Callable[[torch.Tensor], torch.Tensor]
_conv2d: Final = F.conv2d


def main(
    space: Annotated[list[str] | None, typer.Option(help="Space; repeat for several.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images per batch.")] = 32,
    num: Annotated[int, typer.Option(help="Networks of each space.")] = 100,
    data: Annotated[Path | None, typer.Option(help="Folder of CIFAR-10; noise without.")] = None,
) -> None:
    """Measure and print a table."""
    torch.set_num_threads(1)
    source = load_images("cifar10", data) if data else load_images("noise")
    images = torch.from_numpy(source.batch(batch_size, seed=SEED))
    print(f"{source.name}, batch size {batch_size}; emulated\n")
    print("| space | | networks | mean | largest | Kendall | Spearman |\n|---|---|---|---|---|---|---|", flush=True)
    for name in space or ["nasbench201", "nasbench101", "nats_sss"]:
        drawn = samples(name, num)
        expected = _scores(drawn, images)
        _print_row(name, "tf32", expected, _scores(drawn, images, partial(_rounded, bits=10), None))
        _print_row(name, "bfloat16", expected, _scores(drawn, images, _bfloat16, _bfloat16))
        _print_row(name, "float32, another seed", expected, _scores(drawn, images, seed=SEED + 1))


def _scores(
    drawn: list[Sample], images: torch.Tensor, operand: Round | None = None, result: Round | None = None, *, seed: int = SEED
) -> list[float]:
    with _rounding(operand, result):
        return [score(sample.build(), images, seed=seed, engine="exact")["naswot"] for sample in drawn]


@contextmanager
def _rounding(operand: Round | None, result: Round | None) -> Iterator[None]:
    def conv2d(x: torch.Tensor, weight: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if operand is not None:
            x, weight = operand(x), operand(weight)
        out = _conv2d(x, weight, *args, **kwargs)
        return out if result is None else result(out)

    with mock.patch.object(F, "conv2d", conv2d):
        yield


def _rounded(x: torch.Tensor, *, bits: int) -> torch.Tensor:
    """To the nearest float32 with so many bits behind the point."""
    drop = 23 - bits
    return ((x.view(torch.int32) + (1 << (drop - 1))) >> drop << drop).view(torch.float32)


def _bfloat16(x: torch.Tensor) -> torch.Tensor:
    return x.bfloat16().float()


def _print_row(space: str, what: str, expected: list[float], found: list[float]) -> None:
    pairs = np.array([(a, b) for a, b in zip(expected, found, strict=True) if math.isfinite(a) and math.isfinite(b)])
    off = np.abs(pairs[:, 0] - pairs[:, 1])
    tau, rho = stats.kendalltau(*pairs.T).statistic, stats.spearmanr(*pairs.T).statistic
    print(f"| {space} | {what} | {len(pairs)} | {off.mean():.1e} | {off.max():.1e} | {tau:.4f} | {rho:.5f} |", flush=True)


if __name__ == "__main__":
    one_thread.restart("bench.precision")
    typer.run(main)
