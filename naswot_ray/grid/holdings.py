"""Which measures a dataset holds, in which version, and how many rows have a value of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from naswot_ray.dataset.part_state import PartState
from naswot_ray.measures import all_measures


@dataclass
class Holding:
    """What a dataset holds of one measure.

    Attributes:
        name: the measure's name.
        version: the version that the dataset holds.
        installed: the version that would be computed here; None if no installed package has the measure.
        num_values: score rows with a value of this version.
        num_failed: rows with values of other measures in which this measure failed.
        num_lacking: rows with values of other measures in which this version was not computed.
        older: older version -> how many parts still have values of it. A run leaves such parts if it is killed while it
            replaces them. Their values are not counted.
    """

    name: str
    version: int
    installed: int | None
    num_values: int = 0
    num_failed: int = 0
    num_lacking: int = 0
    older: Counter[int] = field(default_factory=Counter)


def holdings_of(measures: Mapping[str, int], states: Iterable[PartState]) -> list[Holding]:
    """Count the values of each measure in some parts.

    Args:
        measures: name -> version of the dataset's measures, in the order of its columns.
        states: the states of the parts of the scores table.
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
