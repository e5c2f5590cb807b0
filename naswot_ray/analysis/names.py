"""What readers call the things that a dataset has short names for."""

from __future__ import annotations

from typing import Final

from naswot_ray.terminal import printable

BASELINE_NAMES: Final = {"params": "params", "flops": "FLOPs", "num_relus": "ReLU layers", "num_layers": "layers"}
"""Baseline -> how tables call it. Measures and rank sums are called by their names."""

BASELINE_TITLES: Final = {"params": "Parameters", "flops": "FLOPs", "num_relus": "ReLU layers", "num_layers": "Layers"}
"""Baseline -> how figures and the report call it."""

DATASET_NAMES: Final = {
    "cifar10": "CIFAR-10",
    "cifar10-valid": "CIFAR-10 (half)",
    "cifar100": "CIFAR-100",
    "imagenet16-120": "ImageNet16-120",
}


def dataset_name(name: str) -> str:
    """What readers call a data set or image source; one that is not known keeps its name."""
    return DATASET_NAMES.get(name, printable(name))
