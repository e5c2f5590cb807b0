"""What an ablation found: rows for a Parquet file, and how much each factor moves each measure.

Shape suffixes: l levels of a factor, a architectures.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from scipy.stats import kendalltau

from naswot_ray.ablation.levels import Ablated, Factor

_KEY: Final = (
    pa.field("space", pa.string(), nullable=False),
    pa.field("arch_id", pa.string(), nullable=False),
    pa.field("factor", pa.string(), nullable=False),
    pa.field("images", pa.string(), nullable=False),
    pa.field("batch_size", pa.int32(), nullable=False),
    pa.field("weights_seed", pa.int64(), nullable=False),
    pa.field("images_seed", pa.int64(), nullable=False),
)


@dataclass(frozen=True)
class Effect:
    """How much a factor moves a measure.

    Attributes:
        measure, factor: which.
        num_levels: of the factor.
        num_finite: architectures that have a finite value at every level; the deviations are over these.
        num_failed: architectures for which the measure failed at some level; they are in no figure.
        shift: standard deviation over the levels of the mean value of all architectures: what moves all of them alike.
        deviation: standard deviation over the levels of an architecture's value less that mean; the root mean square over
            architectures.
        between: standard deviation over architectures of their mean value.
        tau: Kendall's tau between the rankings at two levels, the mean over all pairs of levels. Singular architectures rank
            last.
    """

    measure: str
    factor: Factor
    num_levels: int
    num_finite: int
    num_failed: int
    shift: float
    deviation: float
    between: float
    tau: float


def schema_of(measures: Sequence[str]) -> pa.Schema:
    """The columns of an ablation: a row per architecture and level. `factor` is what the level changes.

    Args:
        measures: a column for each; null where it failed.
    """
    return pa.schema([*_KEY, *(pa.field(name, pa.float64()) for name in measures)])


def rows_of(space: str, found: Sequence[Ablated], measures: Sequence[str]) -> pa.Table:
    """The table of an ablation, by `schema_of`."""
    rows = [
        {
            "space": space,
            "arch_id": one.arch_id,
            "factor": one.level.factor.value,
            "images": one.level.images,
            "batch_size": one.level.batch_size,
            "weights_seed": one.level.weights_seed,
            "images_seed": one.level.images_seed,
            **one.values,
        }
        for one in found
    ]
    return pa.Table.from_pylist(rows, schema_of(measures))


def effects(found: Sequence[Ablated], measures: Sequence[str]) -> list[Effect]:
    """How much each factor moves each measure, measure by measure."""
    factors = dict.fromkeys(one.level.factor for one in found)
    return [
        _effect([one for one in found if one.level.factor is factor], name, factor) for name in measures for factor in factors
    ]


def _effect(found: Sequence[Ablated], measure: str, factor: Factor) -> Effect:
    """Values at different batch sizes do not compare, so that factor has only a tau."""
    levels = list(dict.fromkeys(one.level for one in found))
    table_la = np.array([[one.values.get(measure, np.nan) for one in found if one.level == level] for level in levels])
    ranked_la = table_la[:, ~np.isnan(table_la).any(axis=0)]
    finite_la = ranked_la[:, np.isfinite(ranked_la).all(axis=0)]
    shift = deviation = between = float("nan")
    if factor is not Factor.BATCH_SIZE and len(levels) > 1 and finite_la.shape[1] > 1:
        means_l = finite_la.mean(axis=1)
        shift, between = float(means_l.std(ddof=1)), float(finite_la.mean(axis=0).std(ddof=1))
        deviation = float(np.sqrt((finite_la - means_l[:, None]).var(axis=0, ddof=1).mean()))
    taus = [float(kendalltau(a, b).statistic) for a, b in itertools.combinations(ranked_la, 2)]
    return Effect(
        measure,
        factor,
        num_levels=len(levels),
        num_finite=finite_la.shape[1],
        num_failed=table_la.shape[1] - ranked_la.shape[1],
        shift=shift,
        deviation=deviation,
        between=between,
        tau=float(np.mean(taus)) if taus else float("nan"),
    )


def markdown(found: Sequence[Effect], facts: Sequence[str]) -> str:
    """A table of effects, under a line that says what they are of."""
    lines = [
        f"{', '.join(facts)}. The three deviations are over architectures that have a finite value at every level; in tau "
        "singular ones rank last.",
        "",
        "| measure | changed | levels | moves all values by | moves one value by | architectures differ by "
        "| tau of two rankings | architectures with finite values |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for e in found:
        cells = ["" if np.isnan(value) else f"{value:.3f}" for value in (e.shift, e.deviation, e.between, e.tau)]
        lines.append(f"| {e.measure} | {e.factor} | {e.num_levels} | {' | '.join(cells)} | {e.num_finite} |")
    failed = {e.measure: max(one.num_failed for one in found if one.measure == e.measure) for e in found}
    for measure, count in failed.items():
        if count:
            lines += [
                "",
                f"{measure} failed at some level for {count:,} of the architectures, which are in none of its figures.",
            ]
    return "\n".join(lines) + "\n"
