"""The search table of docs/search.md: NASWOT's procedure on NAS-Bench-201 by several measures, on three data sets.

    python -m bench.search_table scores --measure naswot --measure meco --measure log_rank_sum --measure params

`scores` is a dataset with scores of NAS-Bench-201 and the benchmark's test accuracies after 200 epochs. A run scores N random
cells and takes the best; the table has the mean and standard deviation over the runs of its test accuracy. Run i draws the same
cells whatever it scores by, as long as the dataset knows the same cells, so rows differ by the measure alone. Rank sums take a
few minutes at N = 1,000: each cell that is scored changes the ranks of all before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
import typer

from naswot_ray.dataset.dataset import Dataset
from naswot_ray.dataset.dataset import open as open_dataset
from naswot_ray.dataset.label import Label
from naswot_ray.errors import SettingsError
from naswot_ray.search import algorithms, results, simulation
from naswot_ray.search.criterion import Criterion
from naswot_ray.search.problem import Budget
from naswot_ray.search.simulation import Lookup, SimulatedProblem
from naswot_ray.spaces import get_space

SPACE: Final = "nasbench201"
LABELS: Final = tuple(
    Label(name, "test", results.PUBLISHED_EPOCHS[SPACE]) for name in ("cifar10", "cifar100", "imagenet16-120")
)
SAMPLES: Final = (10, 100, 1000)


def main(
    path: Annotated[Path, typer.Argument(help="Dataset with scores and accuracies of NAS-Bench-201.")],
    measure: Annotated[list[str] | None, typer.Option(help="Measure, rank sum or baseline; repeat for several.")] = None,
    images: Annotated[str | None, typer.Option(help="Image source of the scores. Default: the only one.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Batch size of the scores. Default: the largest.")] = None,
    samples: Annotated[list[int] | None, typer.Option(help="N; repeat for several. Default: 10, 100 and 1,000.")] = None,
    runs: Annotated[int, typer.Option(help="Runs of each.")] = results.PUBLISHED_RUNS,
    seed: Annotated[int, typer.Option(help="Random seed of the runs.")] = 0,
) -> None:
    """Search and print the table as Markdown."""
    dataset, space = open_dataset(path), get_space(SPACE)
    print(
        f"| scored by | N | {' | '.join(f'{label.dataset}, %' for label in LABELS)} | seconds |\n|{'---|' * (len(LABELS) + 3)}"
    )
    facts: list[str] = []
    for name in measure or [simulation.DEFAULT]:
        criterion = simulation.choose_criterion(dataset, space, name)
        lookups = _read(dataset, criterion, *simulation.choose_scores(dataset, space, criterion, images, batch_size))
        facts.append(_facts(lookups[0], criterion))
        for n in samples or SAMPLES:
            choices, seconds = _search(lookups[0], n, runs, seed)
            cells = [_cell(lookup.reported[choices]) for lookup in lookups]
            print(f"| {name} | {n:,} | {' | '.join(cells)} | {seconds:,.1f} |", flush=True)
    cells = [_cell(lookup.reported) for lookup in lookups]
    print(f"| nothing: one random cell | | {' | '.join(cells)} | |")
    facts.append(f"{runs:,} runs of each, random seed {seed}; test accuracy after {LABELS[0].epochs} epochs")
    print("\n" + "\n".join(f"- {fact}" for fact in facts))


def _read(dataset: Dataset, criterion: Criterion, images: str, batch_size: int) -> list[Lookup]:
    """A lookup for each of `LABELS`, of the same cells."""
    space = get_space(SPACE)
    lookups = [simulation.read(dataset, space, criterion, images, batch_size, reported=label) for label in LABELS]
    sizes = {len(lookup.indices) for lookup in lookups}
    if len(sizes) > 1:
        raise SettingsError(f"the accuracies of {' and '.join(map(str, sorted(sizes)))} cells are known, by data set")
    return lookups


def _search(lookup: Lookup, n: int, runs: int, seed: int) -> tuple[npt.NDArray[np.int64], float]:
    """What each run takes, as positions in the lookup, shape (runs,); and the mean seconds that it has scored."""
    problems = [SimulatedProblem(lookup, number) for number in range(len(lookup.seeds))]
    ends = [
        algorithms.run("sample", problems[number % len(problems)], Budget(scores=n), seed=seed, number=number).steps[-1]
        for number in range(runs)
    ]
    return np.array([end.choice for end in ends]), float(np.mean([end.seconds for end in ends]))


def _facts(lookup: Lookup, criterion: Criterion) -> str:
    failed = f", of which {lookup.num_failed:,} failed at some seed and rank last there" if lookup.num_failed else ""
    seeds = ", ".join(map(str, lookup.seeds))
    where = f"{lookup.images} images, batch size {lookup.batch_size}, seeds {seeds} in turn"
    return f"{criterion.told}: {where}; {len(lookup.indices):,} of {len(lookup.space):,} cells{failed}"


def _cell(accuracies: Sequence[float] | npt.NDArray[np.float64]) -> str:
    return f"{np.mean(accuracies):.2f} ± {np.std(accuracies):.2f}"


if __name__ == "__main__":
    typer.run(main)
