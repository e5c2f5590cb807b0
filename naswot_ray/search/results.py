"""What searches found: rows for a Parquet file, and a table beside the published figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from naswot_ray.dataset.label import Label
from naswot_ray.markdown import escape
from naswot_ray.search.algorithms import USING_SCORES
from naswot_ray.search.criterion import Criterion
from naswot_ray.search.problem import Budget, Problem, Search
from naswot_ray.terminal import printable

SCHEMA: Final = pa.schema(
    [
        pa.field("algorithm", pa.string(), nullable=False),
        pa.field("measure", pa.string()),
        pa.field("max_scored", pa.int32()),
        pa.field("max_trained", pa.int32()),
        pa.field("max_seconds", pa.float64()),
        pa.field("run", pa.int32(), nullable=False),
        pa.field("step", pa.int32(), nullable=False),
        pa.field("num_scored", pa.int32(), nullable=False),
        pa.field("num_trained", pa.int32(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("arch_id", pa.string(), nullable=False),
        pa.field("accuracy", pa.float64()),
    ]
)
"""A row for each change of a run's choice, and one for its end: the algorithm, what it scores by (null where it scores
nothing), the budget, what was spent until then, the choice, and its reported accuracy in percent (null where it is not
known)."""

_NB201: Final = ("cifar10", "cifar100", "imagenet16-120")

PUBLISHED: Final[dict[tuple[str, str, str, int | None], tuple[float, float | None]]] = {
    **{("nasbench201", d, "random", 1): (a, None) for d, a in zip(_NB201, (86.61, 60.83, 33.13), strict=True)},
    **{("nasbench201", d, "sample", 10): (a, None) for d, a in zip(_NB201, (92.44, 68.62, 41.31), strict=True)},
    **{
        ("nasbench201", d, "sample", 100): value
        for d, value in zip(_NB201, ((92.81, 0.99), (69.48, 1.70), (43.10, 3.16)), strict=True)
    },
    **{("nasbench201", d, "sample", 1000): (a, None) for d, a in zip(_NB201, (92.96, 69.98, 44.44), strict=True)},
    **{("nasbench201", d, "rea", None): (a, None) for d, a in zip(_NB201, (93.92, 71.84, 45.54), strict=True)},
    **{("nats_sss", d, "sample", 1000): (a, None) for d, a in zip(_NB201, (93.10, 69.10, 45.08), strict=True)},
    ("nasbench101", "cifar10", "sample", 100): (91.77, None),
    ("nasbench101", "cifar10", "rea", None): (93.87, None),
    ("nasbench101", "cifar10", "area", None): (93.91, None),
}
"""Test accuracy in percent and its standard deviation over 500 runs (Mellor et al. 2021, tables of section 4), by space,
dataset, algorithm and number of architectures; None where the published budget was `PUBLISHED_SECONDS`. What these algorithms
score by is `PUBLISHED_MEASURE`."""

PUBLISHED_MEASURE: Final = "naswot"

PUBLISHED_SECONDS: Final = 12_000.0
PUBLISHED_RUNS: Final = 500
PUBLISHED_BATCH_SIZE: Final = 128
PUBLISHED_EPOCHS: Final = {"nasbench101": 108, "nasbench201": 200, "nats_sss": 90}
"""Space -> the longest training of the benchmark, which the published accuracies are of."""

PUBLISHED_SELECTION: Final = {"nasbench201": Label("cifar10-valid", "valid", 12)}
"""Space -> the accuracy that the published trainings chose by; unknown of other spaces."""

REAL_IMAGES: Final = ("cifar10", "cifar100", "imagenet16-120")

METADATA_KEY: Final = b"naswot_ray.search"
"""Of the Parquet file: what its rows are of, `Setting` as JSON."""


@dataclass(frozen=True)
class Setting:
    """What searches were of: everything that their results depend on besides algorithm and budget.

    Attributes:
        space, space_size: what was searched, and how many architectures it has.
        num_known: how many of them could be found; fewer where the dataset lacks scores or accuracies.
        num_failed: how many of those rank last, since a measure failed at some seed.
        measure: what architectures are scored by.
        images, batch_size: of the scores.
        score_seeds: of the scores, which runs take in turn; None where run i computed scores with seed i.
        reported: accuracy of the results; None if it is not known.
        selected: accuracy that trainings chose by; None if nothing was trained.
        times_known: whether the seconds of all trainings are known; otherwise they count as 0.
        num_runs: of each algorithm.
        seed: of the runs' random numbers.
        source: the dataset, for people; None if there is none.
    """

    space: str
    space_size: int
    num_known: int
    num_failed: int
    measure: Criterion
    images: str
    batch_size: int
    score_seeds: tuple[int, ...] | None
    reported: Label | None
    selected: Label | None
    times_known: bool
    num_runs: int
    seed: int
    source: str | None = None

    @property
    def scores(self) -> str:
        """`meco, noise images, batch size 32, seeds 0 and 1 in turn`."""
        if self.score_seeds is None:
            seeds = "run i with seed i"
        else:
            *most, last = map(str, self.score_seeds)
            seeds = f"seeds {', '.join(most)} and {last} in turn" if most else f"seed {last}"
        return f"{self.measure.told}, {self.images} images, batch size {self.batch_size}, {seeds}"

    @property
    def known(self) -> str:
        """`all 15,625 architectures`, or how many of them."""
        if self.num_known == self.space_size:
            return f"all {self.space_size:,} architectures"
        return f"{self.num_known:,} of {self.space_size:,} architectures ({self.num_known / self.space_size:.2%})"

    @property
    def accuracy(self) -> str:
        """`cifar10 test accuracy after 200 epochs`."""
        key = self.reported
        return (
            "accuracy not known" if key is None else printable(f"{key.dataset} {key.split} accuracy after {key.epochs} epochs")
        )

    def metadata(self) -> dict[bytes, bytes]:
        """For a Parquet file."""
        return {METADATA_KEY: json.dumps(asdict(self)).encode()}


@dataclass(frozen=True)
class Contestant:
    """An algorithm with its budget.

    Attributes:
        algorithm: one of `ALGORITHMS`.
        measure: name of what it scores by; None if it scores nothing.
        budget: when it ends.
    """

    algorithm: str
    measure: str | None
    budget: Budget

    @property
    def name(self) -> str:
        """`sample by naswot`; of an algorithm that scores nothing, its name alone."""
        return self.algorithm if self.measure is None else f"{self.algorithm} by {self.measure}"

    @property
    def label(self) -> str:
        """`sample by naswot, 100 scored`."""
        b = self.budget
        parts = [f"{n:,} {what}" for n, what in ((b.scores, "scored"), (b.trainings, "trained")) if n is not None]
        return ", ".join([self.name, *parts, *([f"{b.seconds:,.0f} s"] if b.seconds is not None else [])])


@dataclass(frozen=True)
class Result:
    """All runs of a contestant.

    Attributes:
        accuracy, deviation: mean and standard deviation of the reported accuracy in percent; None if it is not known.
        num_scored, num_trained, seconds: means of what was spent.
        exhausted: whether some run ended before its budget was spent, because no architecture was left.
    """

    contestant: Contestant
    num_runs: int
    accuracy: float | None
    deviation: float | None
    num_scored: float
    num_trained: float
    seconds: float
    exhausted: bool

    @property
    def label(self) -> str:
        """`sample by naswot, 100 scored`; where architectures ran out, what was done, and what had been asked for."""
        b = self.contestant.budget
        if not self.exhausted:
            return self.contestant.label
        wanted = [n for n in (b.scores, b.trainings) if n is not None]
        asked = f"{wanted[0]:,} asked for" if wanted else f"{b.seconds:,.0f} s allowed"
        did = f"{self.num_trained:,.0f} trained" if self.num_trained else f"{self.num_scored:,.0f} scored"
        return f"{self.contestant.name}, {did} (all there are; {asked})"


def rows_of(contestant: Contestant, run: int, problem: Problem, search: Search) -> list[dict[str, Any]]:
    """The rows of one run, by `SCHEMA`."""
    budget = contestant.budget
    return [
        {
            "algorithm": contestant.algorithm,
            "measure": contestant.measure,
            "max_scored": budget.scores,
            "max_trained": budget.trainings,
            "max_seconds": budget.seconds,
            "run": run,
            "step": number,
            "num_scored": step.num_scored,
            "num_trained": step.num_trained,
            "seconds": step.seconds,
            "arch_id": problem.arch_id(step.choice),
            "accuracy": problem.reported_accuracy(step.choice),
        }
        for number, step in enumerate(search.steps)
    ]


def summarise(contestant: Contestant, rows: Sequence[dict[str, Any]], *, exhausted: bool) -> Result:
    """Sum up the runs of a contestant, of which `rows` are all.

    Args:
        contestant: who searched.
        rows: by `SCHEMA`.
        exhausted: whether some run ended because nothing was left.
    """
    ends = {row["run"]: row for row in rows}  # the last of each run
    accuracies = np.array([row["accuracy"] for row in ends.values() if row["accuracy"] is not None])
    means = {name: float(np.mean([row[name] for row in ends.values()])) for name in ("num_scored", "num_trained", "seconds")}
    budget = contestant.budget
    spent = {(row["num_scored"], row["num_trained"]) for row in ends.values()}
    all_spent = all(scored == budget.scores or trained == budget.trainings for scored, trained in spent)
    return Result(
        contestant,
        len(ends),
        float(accuracies.mean()) if len(accuracies) else None,
        float(accuracies.std()) if len(accuracies) else None,
        **means,
        exhausted=exhausted and not all_spent,
    )


def markdown(results: Sequence[Result], setting: Setting) -> str:
    """What was searched, a table of results beside the published figures, and why some of these are left out."""
    lines = [
        f"{setting.space}: {escape(setting.accuracy)}, {_over_runs(setting)}. Scores: {setting.scores}"
        f"{', computed as the search goes on' if setting.score_seeds is None else ''}. "
        f"Searched: {setting.known} of the space.",
    ]
    if setting.num_failed:
        lines[0] += f" Of these, {setting.num_failed:,} failed at some seed and rank last there."
    if setting.selected is not None:
        times = "" if setting.times_known else "; how long they took is not known, so there are no seconds"
        lines[0] += f" Trainings choose by {escape(str(setting.selected))}{times}."
    lines += [
        "",
        f"| algorithm | runs | accuracy, % | published, {PUBLISHED_RUNS} runs | scored | trained | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    left_out: dict[str, list[str]] = {}
    for r in results:
        own = "" if r.accuracy is None else f"{r.accuracy:.2f} ± {r.deviation:.2f}" if r.num_runs > 1 else f"{r.accuracy:.2f}"
        seconds = f"{r.seconds:,.1f}" if setting.times_known or not r.num_trained else ""
        published, reasons = _published(r, setting)
        if reasons:
            left_out.setdefault("; ".join(reasons), []).append(r.label)
        spent = f"{r.num_scored:,.0f} | {r.num_trained:,.0f} | {seconds}"
        lines.append(f"| {r.label} | {r.num_runs} | {own} | {published} | {spent} |")
    for reasons_text, labels in left_out.items():
        lines += ["", f"Published figures do not compare with {' and '.join(labels)}: {reasons_text}."]
    return "\n".join(lines) + "\n"


def _over_runs(setting: Setting) -> str:
    if setting.num_runs == 1:
        return f"one run (random seed {setting.seed})"
    spent = "; scored, trained and seconds are means"
    return f"mean ± standard deviation over {setting.num_runs:,} runs (random seed {setting.seed}){spent}"


def _published(result: Result, setting: Setting) -> tuple[str, list[str]]:
    """The published figure where it is of the same; otherwise nothing, and why not."""
    name, budget, reported = result.contestant.algorithm, result.contestant.budget, setting.reported
    in_seconds = name in ("rea", "area")
    size = budget.trainings if name == "random" else None if in_seconds else budget.scores
    found = PUBLISHED.get((setting.space, reported.dataset, name, size)) if reported is not None else None
    if found is None or reported is None or result.contestant.measure not in (None, PUBLISHED_MEASURE):
        return "", []
    reasons = []
    epochs = PUBLISHED_EPOCHS[setting.space]
    if (reported.split, reported.epochs) != ("test", epochs):
        reasons.append(f"they are test accuracies after {epochs} epochs")
    if setting.num_known < setting.space_size:
        reasons.append(f"they are of the whole space, of which {setting.known} are known here")
    if in_seconds and (budget.trainings is not None or budget.seconds != PUBLISHED_SECONDS):
        reasons.append(f"their budget was {PUBLISHED_SECONDS:,.0f} simulated seconds")
    if result.exhausted:
        reasons.append("the budget was not spent")
    if name in USING_SCORES and (setting.images not in REAL_IMAGES or setting.batch_size != PUBLISHED_BATCH_SIZE):
        reasons.append(f"their scores are of real images at batch size {PUBLISHED_BATCH_SIZE}")
    selection = PUBLISHED_SELECTION.get(setting.space)
    if in_seconds and selection is not None and setting.selected != selection:
        reasons.append(f"their trainings choose by {selection}")
    if reasons:
        return "", reasons
    mean, deviation = found
    note = f" ({PUBLISHED_SECONDS:,.0f} s)" if in_seconds else ""
    return f"{mean:.2f}{'' if deviation is None else f' ± {deviation:.2f}'}{note}", []
