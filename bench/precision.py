"""What tf32 and bfloat16 do to scores, emulated on a CPU: the engine `exact` with its convolutions' operands rounded.

    python -m bench.precision --num 200 --batch-size 32 --data CIFAR

`tf32`: images, activations and weights are rounded to 10 bits behind the point before each product. `bfloat16`: to 7 bits, and
each convolution's result as well, which is what the engine `cuda` stores. Sums are float32 throughout. A row for each measure:
networks, mean and largest difference from float32's value, the largest one in tolerances of float32 (`Measure.tolerance`), and
rank agreement; and what another seed does to the value. `naswot_ray/tolerance.py` follows from the fifth column.
"""

from __future__ import annotations

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
from bench.samples import samples
from naswot_ray.engines.score import score
from naswot_ray.images.source import load_images
from naswot_ray.measures import get_measures
from naswot_ray.network import Network
from naswot_ray.tolerance import bound_of, num_tensors_of

Values = dict[str, list[float]]
"""Measure -> its value of each network."""

Round = Callable[[torch.Tensor], torch.Tensor]
_conv2d: Final = F.conv2d


def main(
    space: Annotated[list[str] | None, typer.Option(help="Space; repeat for several.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images per batch.")] = 32,
    num: Annotated[int, typer.Option(help="Networks of each space.")] = 100,
    measure: Annotated[list[str] | None, typer.Option(help="Measure; repeat for several. Default: all.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of CIFAR-10; noise without.")] = None,
) -> None:
    """Measure and print a table."""
    torch.set_num_threads(1)
    source = load_images("cifar10", data) if data else load_images("noise")
    images = torch.from_numpy(source.batch(batch_size, seed=SEED))
    print(f"{source.name}, batch size {batch_size}; emulated\n")
    print("| space | | measure | networks | mean | largest | in tolerances | Kendall | Spearman |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    names = [one.name for one in get_measures(measure or ["all"])]
    for name in space or ["nasbench201", "nasbench101", "nats_sss"]:
        drawn = [sample.build() for sample in samples(name, num)]
        expected = _values(drawn, images, names)
        rounded = {
            "tf32": _values(drawn, images, names, partial(_rounded, bits=10), None),
            "bfloat16": _values(drawn, images, names, _bfloat16, _bfloat16),
            "float32, another seed": _values(drawn, images, names, seed=SEED + 1),
        }
        for what, found in rounded.items():
            _print_rows(f"{name} | {what}", drawn, expected, found)


def _values(
    drawn: list[Network],
    images: torch.Tensor,
    names: list[str],
    operand: Round | None = None,
    result: Round | None = None,
    *,
    seed: int = SEED,
) -> Values:
    with _rounding(operand, result):
        found = [score(network, images, seed=seed, measures=names, engine="exact") for network in drawn]
    return {name: [scores[name] for scores in found] for name in names}


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


def _print_rows(title: str, drawn: list[Network], expected: Values, found: Values) -> None:
    num_tensors = np.array([num_tensors_of(network) for network in drawn])
    for one in get_measures(expected):
        both = np.array([expected[one.name], found[one.name]])
        finite = np.isfinite(both).all(0)
        a, b = both[:, finite]
        off = np.abs(a - b)
        bounds = np.array([bound_of(one, value, int(t)) for value, t in zip(a, num_tensors[finite], strict=True)])
        in_tolerances = off[off > 0] / bounds[off > 0]
        tau, rho = stats.kendalltau(a, b).statistic, stats.spearmanr(a, b).statistic
        figures = f"{off.mean():.1e} | {off.max():.1e} | {in_tolerances.max(initial=0):.1f} | {tau:.4f} | {rho:.5f}"
        print(f"| {title} | {one.name} | {len(off)} | {figures} |", flush=True)


if __name__ == "__main__":
    one_thread.restart("bench.precision")
    typer.run(main)
