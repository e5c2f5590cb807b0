"""Finds where the values of a module stop being finite."""

from __future__ import annotations

import torch
from torch import nn

from naswot_ray.engines.module.isolation import isolated
from naswot_ray.engines.module.trace import Inputs, plainly
from naswot_ray.engines.module.watch import Event, Watch


class _FoundError(Exception):
    pass


def first_not_finite(module: nn.Module, inputs: Inputs, *, seed: int) -> str:
    """Run a module again, and tell where the first NaN or infinity comes from.

    Negative infinity alone is passed over: attention masks are made of it.
    """

    def check(path: str, operation: str, result: torch.Tensor) -> None:
        if operation.startswith(("empty", "new_empty")) or not result.is_floating_point():
            return
        if bool((result.isnan() | (result == torch.inf)).any()):
            raise _FoundError(f"values are not finite from {path or 'the module itself'} ({operation}) on")

    watch = Watch(module, _look_at_nothing, check)
    try:
        with isolated(module, seed), plainly(), watch.watching():
            inputs.run(module, inputs.batch(graph=False))
    except _FoundError as found:
        parameter = _first_parameter(module)
        return f"{found}" + (f"; {parameter} holds values that are not finite" if parameter else "")
    return "a value that an activation reads, or an output, is not finite"


def _first_parameter(module: nn.Module) -> str | None:
    return next((path for path, p in module.named_parameters() if p.is_floating_point() and not bool(p.isfinite().all())), None)


def _look_at_nothing(event: Event, x: torch.Tensor) -> None:
    pass
