"""Imports Triton such that it can interpret kernels. It decides that when it is imported, and much of torch imports it."""

from __future__ import annotations

import pytest
import torch

__all__ = ["ENVIRONMENT", "INTERPRETED", "triton"]

INTERPRETED = not torch.cuda.is_available()
"""The kernels run on the CPU, in Triton's interpreter."""

ENVIRONMENT = {"TRITON_INTERPRET": "1"} if INTERPRETED else {}

with pytest.MonkeyPatch.context() as _patch:
    for _name, _value in ENVIRONMENT.items():
        _patch.setenv(_name, _value)
    try:
        import triton
        import triton.runtime.interpreter
    except ImportError:
        triton = None
