"""How far the scores of an engine are from those of `exact`, on random networks of every space.

    python -m bench.fidelity fast --num 500 --batch-size 32 --data CIFAR --output fidelity.parquet
    python -m bench.fidelity fast --num 120 --image-size 224 --data CIFAR --space nds_darts_in

Ends with exit code 1 if a score is off by more than the tolerance, the diagonal of a kernel is not N_A, or the two do not agree
on which kernels are singular; both scores count, the published and the paper's. Columns: networks; largest, 99.9th percentile
and mean of the difference of the scores; largest difference of an entry of K over N_A; networks beyond the tolerance, with
another diagonal, singular, singular for one alone; rank agreement of the scores. Of a network beyond the tolerance it is told
how far `exact` is from itself in float64: deep networks without shortcuts enlarge any rounding, that of `exact` too. The
Parquet file has a row for each network.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import typer
from scipy import stats

from bench import one_thread
from bench.contestants import SEED, open_engine, score_group
from bench.samples import SPACES, samples
from naswot_ray.engines.engine import Scores
from naswot_ray.engines.exact import run_forward
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.images.source import load_images
from naswot_ray.measures import Statistic
from naswot_ray.measures.kernel import IntMatrix
from naswot_ray.network import Network

_SECONDS_BETWEEN_LINES = 30.0


@dataclass(frozen=True)
class Comparison:
    """One network scored by `exact` and by the engine.

    Attributes:
        space, arch_id, batch_size: what was scored.
        exact, engine: the scores; `exact_paper`, `engine_paper` those of the paper's formula.
        num_units_agree: whether the diagonal of the engine's kernel is N_A.
        kernel_difference: the largest entry of |K - K'| over N_A.
        exact_rounding: |score - score in float64| of `exact`, for networks beyond the tolerance.
    """

    space: str
    arch_id: str
    batch_size: int
    exact: float
    engine: float
    exact_paper: float
    engine_paper: float
    num_units_agree: bool
    kernel_difference: float
    exact_rounding: float | None = None

    @property
    def difference(self) -> float:
        """The larger of the two scores' absolute differences; infinite where one alone is not finite."""
        return max(_difference(self.exact, self.engine), _difference(self.exact_paper, self.engine_paper))

    @property
    def singular_agree(self) -> bool:
        """Whether both say -inf, or neither, of both scores."""
        pairs = ((self.exact, self.engine), (self.exact_paper, self.engine_paper))
        return all((a == -math.inf) == (b == -math.inf) for a, b in pairs)


def main(
    engine: Annotated[str, typer.Argument(help="Engine to compare with `exact`: fast, cuda, cuda:tf32, ...")],
    space: Annotated[list[str] | None, typer.Option(help="Space; repeat for several.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images per batch.")] = 32,
    num: Annotated[int, typer.Option(help="Networks of each space.")] = 500,
    image_size: Annotated[int, typer.Option(help="Height and width of the images.")] = 32,
    tolerance: Annotated[float, typer.Option(help="Largest difference of a score.")] = 1e-3,
    device: Annotated[str, typer.Option(help="Where the engine's images are, cpu or cuda; `exact` runs on the CPU.")] = "cpu",
    data: Annotated[Path | None, typer.Option(help="Folder of CIFAR-10; noise without.")] = None,
    output: Annotated[Path | None, typer.Option(help="Parquet file to write.")] = None,
) -> None:
    """Compare an engine with `exact`."""
    torch.set_num_threads(1)
    source = load_images("cifar10" if data else "noise", data, image_size=image_size)
    images = torch.from_numpy(source.batch(batch_size, seed=0))
    comparisons: list[Comparison] = []
    for name in space or SPACES:
        comparisons += compare(engine, name, images, num, device, tolerance)
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist([asdict(c) | {"difference": c.difference} for c in comparisons]), output)
    print(f"\n{engine} against exact, {source.name}, batch size {batch_size}\n")
    bad = print_table(comparisons, tolerance)
    if bad:
        print(f"\n{len(bad)} networks beyond the tolerance of {tolerance:g}, or with other counts or other singular kernels:")
        for c in bad[:10]:
            rounding = "" if c.exact_rounding is None else f"; exact is {c.exact_rounding:.1e} from itself in float64"
            print(f"  {c.space} {c.arch_id}: {c.difference:.1e} off, exact {c.exact}, {engine} {c.engine}{rounding}")
        raise typer.Exit(1)


def compare(engine: str, space: str, images: torch.Tensor, num: int, device: str, tolerance: float) -> list[Comparison]:
    """Score the first `num` samples of a space by both; lines on the way."""
    found: list[Comparison] = []
    drawn = samples(space, num, image_size=images.shape[-1])
    size = open_engine(engine).max_group
    told = time.monotonic()
    for first in range(0, len(drawn), size):
        group = drawn[first : first + size]
        others = score_group(engine, [sample.build() for sample in group], images.to(device))
        for sample, other in zip(group, others, strict=True):
            network = sample.build()
            (exact,) = score_group("exact", [network], images)
            kernels = [_kernel("exact", network, images), _kernel(engine, network, images.to(device))]
            comparison = _comparison(space, sample.arch_id, exact, other, *kernels)
            if not comparison.difference <= tolerance:
                rounding = _difference(comparison.exact, _score_in_float64(sample.build(), images))
                comparison = replace(comparison, exact_rounding=rounding)
            found.append(comparison)
        if time.monotonic() - told > _SECONDS_BETWEEN_LINES:
            told = time.monotonic()
            print(f"{space}: {len(found)} of {num}, at most {max(c.difference for c in found):.1e} off", flush=True)
    return found


def _comparison(
    space: str, arch_id: str, exact: Scores, other: Scores, exact_kernel: IntMatrix, other_kernel: IntMatrix
) -> Comparison:
    return Comparison(
        space=space,
        arch_id=arch_id,
        batch_size=len(exact_kernel),
        exact=exact["naswot"],
        engine=other["naswot"],
        exact_paper=exact["naswot_paper"],
        engine_paper=other["naswot_paper"],
        # Of the kernel itself: a score takes its count from the network, whatever the engine counted.
        num_units_agree=bool((other_kernel.diagonal() == exact.num_units).all()),
        kernel_difference=float(np.abs(other_kernel - exact_kernel).max() / max(exact.num_units, 1)),
    )


def _kernel(engine: str, network: Network, images: torch.Tensor) -> IntMatrix:
    weights = SeededWeights(network, SEED)
    return open_engine(engine).run_forward(network, images, weights, [Statistic.KERNELS]).kernels.published


def _score_in_float64(network: Network, images: torch.Tensor) -> float:
    weights = SeededWeights(network, SEED)
    in_float64 = run_forward(network, images.double(), lambda layer: weights(layer).double(), [Statistic.LOG_DETS])
    return in_float64.log_dets.published


def print_table(comparisons: Sequence[Comparison], tolerance: float) -> list[Comparison]:
    """Print a Markdown table, a row for each space; return the networks that are not as they should be."""
    titles = ["space", "networks", "largest", "99.9 %", "mean", "K, largest", "beyond", "other units", "singular"]
    titles += ["singular for one", "Kendall", "Spearman"]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for space in dict.fromkeys(c.space for c in comparisons):
        mine = [c for c in comparisons if c.space == space]
        finite = [c for c in mine if math.isfinite(c.difference) and math.isfinite(c.exact) and math.isfinite(c.exact_paper)]
        differences = np.array([c.difference for c in finite]) if finite else np.zeros(1)
        kendall, spearman = _agreement([c.exact for c in finite], [c.engine for c in finite])
        cells = [
            space,
            str(len(mine)),
            *(f"{value:.1e}" for value in (differences.max(), np.quantile(differences, 0.999), differences.mean())),
            f"{max(c.kernel_difference for c in mine):.1e}",
            str(sum(not c.difference <= tolerance for c in mine)),
            str(sum(not c.num_units_agree for c in mine)),
            str(sum(c.exact == -math.inf for c in mine)),
            str(sum(not c.singular_agree for c in mine)),
            f"{kendall:.6f}",
            f"{spearman:.6f}",
        ]
        print(f"| {' | '.join(cells)} |")
    return [c for c in comparisons if not c.difference <= tolerance or not c.num_units_agree or not c.singular_agree]


def _agreement(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    if len(a) < 2:
        return math.nan, math.nan
    return float(stats.kendalltau(a, b).statistic), float(stats.spearmanr(a, b).statistic)


def _difference(a: float, b: float) -> float:
    """Absolute difference; 0 for two of -inf, infinite where one alone is not finite or one is NaN."""
    if a == b:
        return 0.0
    return abs(a - b) if math.isfinite(a) and math.isfinite(b) else math.inf


if __name__ == "__main__":
    one_thread.restart("bench.fidelity")
    typer.run(main)
