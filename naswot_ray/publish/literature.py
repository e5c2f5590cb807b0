"""The publications of the measures. That of a search space stands in the space's own facts (`naswot_ray.spaces`)."""

from __future__ import annotations

from typing import Final

from naswot_ray.spaces import Work

_NASWOT: Final = Work(
    key="mellor2021naswot",
    title="Neural Architecture Search without Training",
    authors=("Mellor, Joseph", "Turner, Jack", "Storkey, Amos", "Crowley, Elliot J."),
    venue="International Conference on Machine Learning",
    year=2021,
)

_MECO: Final = Work(
    key="jiang2023meco",
    title="{MeCo}: Zero-Shot {NAS} with One Data and Single Forward Pass via Minimum Eigenvalue of Correlation",
    authors=("Jiang, Tangyu", "Wang, Haodi", "Bie, Rongfang"),
    venue="Advances in Neural Information Processing Systems",
    year=2023,
)

_SWAP: Final = Work(
    key="peng2024swapnas",
    title="{SWAP-NAS}: Sample-Wise Activation Patterns for Ultra-fast {NAS}",
    authors=("Peng, Yameng", "Song, Andy", "Fayek, Haytham M.", "Ciesielski, Vic", "Chang, Xiaojun"),
    venue="International Conference on Learning Representations",
    year=2024,
)

_AZ_NAS: Final = Work(
    key="lee2024aznas",
    title="{AZ-NAS}: Assembling Zero-Cost Proxies for Network Architecture Search",
    authors=("Lee, Junghyup", "Ham, Bumsub"),
    venue="IEEE/CVF Conference on Computer Vision and Pattern Recognition",
    year=2024,
)

MEASURES: Final = {
    "naswot": _NASWOT,
    "naswot_paper": _NASWOT,
    "naswot_layerwise": _NASWOT,
    "expressivity": _AZ_NAS,
    "meco": _MECO,
    "swap": _SWAP,
}
"""Measure -> the publication that it goes back to. A measure that is not here is cited by its `source` alone."""
