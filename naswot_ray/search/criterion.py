"""What a search ranks untrained architectures by: a measure, a baseline, or a rank sum among those it has scored so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from naswot_ray.analysis.rank_sums import RANK_SUMS, rank_sum
from naswot_ray.dataset.schema import BASELINES
from naswot_ray.errors import SettingsError
from naswot_ray.registry import nearest

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Criterion:
    """A number for each architecture that has been scored; the larger, the better.

    A measure or a baseline is a number of one architecture. A rank sum is a number of one architecture *among others*, and a
    searcher knows no others than those it has scored. So its values change with every architecture that is scored.

    Attributes:
        name: of the measure, baseline or rank sum.
        parts: the measures and baselines that it is made of; the measure or baseline itself, or the parts of the rank sum.
    """

    name: str
    parts: tuple[str, ...]

    @property
    def measures(self) -> tuple[str, ...]:
        """The parts that are measures."""
        return tuple(part for part in self.parts if part not in BASELINES)

    @property
    def told(self) -> str:
        """`meco`, or `log_rank_sum (of meco, naswot and num_relus, among the architectures that a run has scored)`."""
        if self.name not in RANK_SUMS:
            return self.name
        *most, last = self.parts
        return f"{self.name} (of {', '.join(most)} and {last}, among the architectures that a run has scored)"

    def values(self, parts_ap: Array) -> Array:
        """The value of each of some architectures among all of them.

        Args:
            parts_ap: their parts, shape (architectures, parts), NaN where an architecture lacks one.

        Returns:
            shape (architectures,); -inf for an architecture that lacks a part, and for one whose kernel is singular.
        """
        if self.name in RANK_SUMS:
            values_a = rank_sum(self.name, dict(zip(self.parts, parts_ap.T, strict=True)))
        else:
            values_a = parts_ap[:, 0]
        return np.where(np.isnan(values_a), -np.inf, values_a)


def get_criterion(name: str, measures: Sequence[str]) -> Criterion:
    """The criterion of a name.

    Args:
        name: of a measure, a baseline or a rank sum.
        measures: those that there are.

    Raises:
        SettingsError: there is nothing of that name; tells the nearest one. Or it is a rank sum, one of whose measures there is
            not.
    """
    if name in RANK_SUMS:
        criterion = Criterion(name, RANK_SUMS[name].parts)
        if missing := [part for part in criterion.measures if part not in measures]:
            raise SettingsError(f"{name} is made of {', '.join(criterion.parts)}; there is no measure {' and '.join(missing)}")
        return criterion
    if name in measures or name in BASELINES:
        return Criterion(name, (name,))
    known = (*measures, *RANK_SUMS, *BASELINES)
    raise SettingsError(f"unknown measure {name[:80]!r}; there are: {', '.join(known)}{nearest(name, known)}")
