"""What an ablation found: rows for a Parquet file, and how much of a score each factor moves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from scipy.stats import kendalltau

from naswot_ray.ablation.levels import Ablated, Factor

SCHEMA: Final = pa.schema(
    [
        pa.field("space", pa.string(), nullable=False),
        pa.field("arch_id", pa.string(), nullable=False),
        pa.field("factor", pa.string(), nullable=False),
        pa.field("images", pa.string(), nullable=False),
        pa.field("batch_size", pa.int32(), nullable=False),
        pa.field("weights_seed", pa.int64(), nullable=False),
        pa.field("images_seed", pa.int64(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
    ]
)
"""A row per architecture and level; `factor` is what the level changes."""


@dataclass(frozen=True)
class Effect:
    """How much a factor moves scores.

    Attributes:
        factor: which.
        num_levels: of it.
        num_finite: architectures that are singular at no level, of which the deviations are.
        shift: standard deviation over the levels of the mean score of all architectures: what moves all of them alike.
        deviation: standard deviation over the levels of an architecture's score less that mean; the root mean square over
            architectures.
        between: standard deviation over architectures of their mean score.
        tau: Kendall's tau between the rankings at two levels, the mean over all pairs of levels.
    """

    factor: Factor
    num_levels: int
    num_finite: int
    shift: float
    deviation: float
    between: float
    tau: float


def rows_of(space: str, found: Sequence[Ablated]) -> pa.Table:
    """The table of an ablation, by `SCHEMA`."""
    rows = [
        {
            "space": space,
            "arch_id": one.arch_id,
            "factor": one.level.factor.value,
            "images": one.level.images,
            "batch_size": one.level.batch_size,
            "weights_seed": one.level.weights_seed,
            "images_seed": one.level.images_seed,
            "score": one.score,
        }
        for one in found
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def effects(found: Sequence[Ablated]) -> list[Effect]:
    """How much each factor moves scores. Architectures that are singular somewhere rank last, and are in no deviation.

    Scores at different batch sizes do not compare, so that factor has only a tau.
    """
    result = []
    for factor in dict.fromkeys(one.level.factor for one in found):
        levels = list(dict.fromkeys(one.level for one in found if one.level.factor is factor))
        table = np.array([[one.score for one in found if one.level == level] for level in levels])
        finite = table[:, np.isfinite(table).all(axis=0)]
        shift = deviation = between = float("nan")
        if factor is not Factor.BATCH_SIZE and len(levels) > 1 and finite.shape[1] > 1:
            means = finite.mean(axis=1)
            shift, between = float(means.std(ddof=1)), float(finite.mean(axis=0).std(ddof=1))
            deviation = float(np.sqrt((finite - means[:, None]).var(axis=0, ddof=1).mean()))
        taus = [float(kendalltau(a, b).statistic) for a, b in itertools.combinations(table, 2)]
        result.append(
            Effect(
                factor, len(levels), finite.shape[1], shift, deviation, between, float(np.mean(taus)) if taus else float("nan")
            )
        )
    return result


def markdown(found: Sequence[Effect], facts: Sequence[str]) -> str:
    """A table of effects, under a line that says what they are of."""
    lines = [
        f"{', '.join(facts)}. The three deviations are over architectures that are singular at no level, tau is over all.",
        "",
        "| changed | levels | moves all scores by | moves one score by | architectures differ by | tau of two rankings "
        "| architectures never singular |",
        "|---|---|---|---|---|---|---|",
    ]
    for e in found:
        cells = ["" if np.isnan(value) else f"{value:.3f}" for value in (e.shift, e.deviation, e.between, e.tau)]
        lines.append(f"| {e.factor} | {e.num_levels} | {' | '.join(cells)} | {e.num_finite} |")
    return "\n".join(lines) + "\n"
