"""naswot-ray: training-free NASWOT scores of whole neural-architecture search spaces.

This module is the public interface. Each name is imported on first use, so scoring needs no Ray and reading a dataset needs
no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from naswot_ray.dataset.dataset import open
    from naswot_ray.engines.engine import Scores
    from naswot_ray.engines.module.score import score_module
    from naswot_ray.engines.score import score
    from naswot_ray.images.source import load_images
    from naswot_ray.network import Network
    from naswot_ray.spaces import get_space

__version__ = "0.1.0"

_HOME = {
    "Network": "naswot_ray.network",
    "Scores": "naswot_ray.engines.engine",
    "get_space": "naswot_ray.spaces",
    "load_images": "naswot_ray.images.source",
    "open": "naswot_ray.dataset.dataset",
    "score": "naswot_ray.engines.score",
    "score_module": "naswot_ray.engines.module.score",
}

__all__ = ["Network", "Scores", "get_space", "load_images", "open", "score", "score_module"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
