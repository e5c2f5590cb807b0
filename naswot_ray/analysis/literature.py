"""Published correlations of `naswot` and of baselines with accuracy. Numbers are the publications', signed, as printed there.

A figure stands beside the predictor that it was published for, never beside another measure: several measures here take other
tensors than the code that their papers tell of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NASWOT: Final = "naswot"
"""The measure that the figures are of."""

_PAPER: Final = "Mellor et al., ICML 2021 (arXiv 2006.04647)"
_SAMPLE: Final = "about 1,000 random networks"
_WHOLE: Final = "all 15,625 cells"
_LATER: Final = "as later papers report"


@dataclass(frozen=True)
class Published:
    """One published figure.

    Attributes:
        space, dataset: as in our datasets.
        predictor: `naswot`, or the baseline.
        metric: `tau` or `spearman`.
        value: as printed.
        subset: which architectures it is of.
        batch_size: None where the source does not say, or the predictor has none.
        source: who says so.
    """

    space: str
    dataset: str
    predictor: str
    metric: str
    value: float
    subset: str
    batch_size: int | None
    source: str

    def __str__(self) -> str:
        batch = f", batch size {self.batch_size}" if self.batch_size else ""
        return f"{self.value:.3f} ({self.subset}{batch}; {self.source})"


def _paper(space: str, dataset: str, value: float, subset: str = _SAMPLE) -> Published:
    return Published(space, dataset, NASWOT, "tau", value, subset, 128, _PAPER)


def _whole(dataset: str, **values: float) -> list[Published]:
    return [Published("nasbench201", dataset, name, "tau", value, _WHOLE, None, _LATER) for name, value in values.items()]


PUBLISHED: Final = (
    _paper("nasbench201", "cifar10", 0.574),
    *_whole("cifar10", naswot=0.571, flops=0.623, num_layers=0.626),
    _paper("nasbench201", "cifar100", 0.611),
    *_whole("cifar100", naswot=0.607, flops=0.586, num_layers=0.646),
    _paper("nasbench201", "imagenet16-120", 0.549),
    *_whole("imagenet16-120", naswot=0.605, flops=0.545, num_layers=0.623),
    _paper("nasbench101", "cifar10", 0.285),
    _paper("nds_amoeba", "cifar10", 0.223),
    _paper("nds_darts", "cifar10", 0.467),
    _paper("nds_enas", "cifar10", 0.365),
    _paper("nds_nasnet", "cifar10", 0.304),
    _paper("nds_pnas", "cifar10", 0.382),
    _paper("nds_darts_in", "imagenet", 0.535, "121 networks"),
    Published("nats_sss", "cifar10", NASWOT, "spearman", 0.45, "about that, all 32,768", None, _LATER),
    Published("nats_sss", "cifar100", NASWOT, "spearman", 0.18, "about that, all 32,768", None, _LATER),
    Published("nats_sss", "imagenet16-120", NASWOT, "spearman", 0.41, "about that, all 32,768", None, _LATER),
)


def published(space: str, dataset: str, predictor: str, metric: str) -> list[Published]:
    """What is published of a predictor, the paper's own figure first."""
    wanted = (space, dataset, predictor, metric)
    return [p for p in PUBLISHED if (p.space, p.dataset, p.predictor, p.metric) == wanted]
