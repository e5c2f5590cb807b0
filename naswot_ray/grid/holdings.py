"""Which measures a dataset holds: how many rows have a value of each, and in which version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from naswot_ray.dataset.parts import PartState
from naswot_ray.measures import all_measures


@dataclass
class Holding:
    """What a dataset holds of one measure.

    Attributes:
        name: of the measure.
        version: that the dataset holds.
        installed: the version that would be computed here; None where no installed package has the measure.
        num_values: score rows with a value of this version.
        num_failed: rows with other values in which this measure failed.
        num_lacking: rows with other values in which this measure was not computed, in this version.
        older: an older version -> parts that still have values of it, as a run leaves them that was killed while it replaced
            them. No value of theirs is counted.
    """

    name: str
    version: int
    installed: int | None
    num_values: int = 0
    num_failed: int = 0
    num_lacking: int = 0
    older: Counter[int] = field(default_factory=Counter)


def holdings_of(measures: Mapping[str, int], states: Iterable[PartState]) -> list[Holding]:
    """What some parts hold of each measure.

    Args:
        measures: name -> version of the dataset's measures, in the order of its columns.
        states: of the parts, with scores.
    """
    installed = {name: one.version for name, one in all_measures().items()}
    holdings = [Holding(name, version, installed.get(name)) for name, version in measures.items()]
    for state in states:
        num_computed = len(state.present) - len(state.failed)
        for one in holdings:
            if one.name in state.older:
                one.older[state.older[one.name]] += 1
            lacking = state.lacking.get(one.name)
            num_failed = len(state.failed_alone.get(one.name, ()))
            num_lacking = num_computed - num_failed if lacking is None else len(lacking)
            one.num_failed += num_failed
            one.num_lacking += num_lacking
            one.num_values += num_computed - num_failed - num_lacking
    return holdings
