"""The publication of the score. That of a search space stands in the space's own facts (`naswot_ray.spaces`)."""

from __future__ import annotations

from typing import Final

from naswot_ray.spaces import Work

NASWOT: Final = Work(
    key="mellor2021naswot",
    title="Neural Architecture Search without Training",
    authors=("Mellor, Joseph", "Turner, Jack", "Storkey, Amos", "Crowley, Elliot J."),
    venue="International Conference on Machine Learning",
    year=2021,
)
