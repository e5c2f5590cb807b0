"""`score_module`: the scores of any `torch.nn.Module`."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from naswot_ray.engines.engine import Scores, statistics_of, values_of
from naswot_ray.engines.module.activations import MISSED, Activations, Fate
from naswot_ray.engines.module.counting import count
from naswot_ray.engines.module.finiteness import first_not_finite
from naswot_ray.engines.module.isolation import check_runnable
from naswot_ray.engines.module.operations import Kind
from naswot_ray.engines.module.reading import NotFiniteError, OtherEventsError, Reading
from naswot_ray.engines.module.trace import Inputs, Outputs, trace
from naswot_ray.measures import DEFAULT_MEASURES, Statistic, get_measures
from naswot_ray.measures.kernel import IntMatrix, why_singular
from naswot_ray.measures.statistics import ForwardPass

Batch = torch.Tensor | npt.NDArray[Any]

_KINDS: Final[Mapping[str, frozenset[Kind]]] = {
    "relu": frozenset({Kind.RELU}),
    "sign": frozenset({Kind.RELU, Kind.SIGN}),
}


class UncountedActivationWarning(UserWarning):
    """A network has activations that its score does not know of."""


class ModuleScores(Scores):
    """The scores of one module on one batch.

    Attributes:
        activations: every activation that was executed, and whether it was counted. Print it.
        num_units_published: how many units the published code would count. It hooks modules by the name of their class.
        why_singular: why det K = 0; None where it is not, or where no kernel was asked for.
        notes: what to know about these scores, a sentence each.
    """

    def __init__(
        self,
        values: Mapping[str, float],
        errors: Mapping[str, str],
        *,
        num_units: int,
        num_units_paper: int,
        kernel: IntMatrix | None,
        activations: Activations,
        num_units_published: int,
        why_singular: str | None,
        notes: tuple[str, ...],
    ) -> None:
        super().__init__(values, errors, num_units=num_units, num_units_paper=num_units_paper, kernel=kernel)
        self.activations = activations
        self.num_units_published = num_units_published
        self.why_singular = why_singular
        self.notes = notes


def score_module(
    module: nn.Module,
    images: Batch,
    *,
    measures: Iterable[str] = DEFAULT_MEASURES,
    activations: Literal["relu", "sign"] = "relu",
    seed: int = 0,
    outputs: Outputs = None,
    forward_args: Sequence[Any] = (),
    forward_kwargs: Mapping[str, Any] | None = None,
    batch_dim: int | None = None,
    strict: bool = False,
    return_kernel: bool = False,
) -> ModuleScores:
    """Score an untrained module of your own on a batch.

    The module runs forward in train mode, so batch norms use the statistics of the batch: first with three images, to see
    what it executes and what its outputs depend on, then with all. There is no backward pass. The module, its gradients and
    the random numbers of the process are left as they were.

    An activation counts however it is written: as a module, a function, a method or a clamp at zero, in place, scripted or in
    a checkpoint. `result.activations` lists each one, and why it was not counted.

    `naswot` is the number of the published code wherever that sees all live ReLUs. It hooks modules whose class has "ReLU" in
    its name, and so counts a ReLU within a block like `ReLUConvBN` twice. Where it misses a ReLU, each one counts as often as
    it would there, and at least once; `notes` says so. `naswot_paper` counts each executed live ReLU once. The other measures
    use each tensor that live ReLUs read once.

    Args:
        module: called with the batch; it returns tensors, in tuples, lists or mappings.
        images: the batch, with two images or more. Floating-point images are converted to the type of the module's
            parameters and moved to their device. Integers (tokens) are only moved. The values have to be normalised.
        measures: names of measures (`naswot-ray measures` lists them), or `all`.
        activations: `relu` counts what is linear on both sides of zero: ReLU, ReLU6, LeakyReLU, PReLU, RReLU. `sign` counts
            GELU, SiLU, Hardswish, Mish, ELU, SELU and CELU as well, by the sign of their input. SWAP takes the sign of what
            GELU and SiLU return, which is the same (Peng et al., arXiv 2605.07378; pym1024/SWAP_Universal, swap.py). The names
            of its values end in `_sign`.
        seed: random seed of dropout and of whatever else draws random numbers.
        outputs: what the score depends on: a key, an attribute, a position, or a function of what the module returns. Default
            is the first tensor, as in the published code; auxiliary heads do not count then.
        forward_args, forward_kwargs: further arguments of the module.
        batch_dim: the dimension of the images that runs over them; default is the first. Within the module it is found out.
            Where the shape of a tensor does not tell, it is this one, if given.
        strict: refuse a module with activations that act on images and outputs but are not counted, instead of warning.
        return_kernel: whether to return K as well.

    Raises:
        SettingsError: a measure is unknown.
        ValueError: there is no activation to count; the batch has the wrong form; a value is not finite (the message names the
            first layer that it comes from); the module cannot run, or not twice in the same way.

    Example:
        >>> result = naswot_ray.score_module(torchvision.models.resnet18(), images)
        >>> print(result["naswot"], result.activations)
    """
    if activations not in _KINDS:
        raise ValueError(f"activations={activations!r}; expected one of: {', '.join(_KINDS)}")
    kinds = _KINDS[activations]
    chosen_measures = get_measures(measures)
    wanted = statistics_of(chosen_measures)
    needs_kernel = return_kernel or Statistic.LOG_DETS in wanted  # to say why a kernel is singular
    if needs_kernel:
        wanted |= {Statistic.KERNELS}
    inputs = _inputs(module, images, batch_dim, forward_args, forward_kwargs or {})
    reading = _read(module, inputs, kinds, wanted, outputs=outputs, seed=seed, batch_dim=batch_dim)
    table = reading.table(kinds)
    _refuse_or_warn(type(module).__name__, table, activations, strict=strict)
    forward = reading.forward_pass()
    values, errors = values_of(forward, chosen_measures)
    suffix = "" if activations == "relu" else f"_{activations}"
    num_units = sum(one.multiplicity * one.num_units for one in forward.codes)
    num_published = reading.published_units()
    return ModuleScores(
        {name + suffix: value for name, value in values.items()},
        {name + suffix: error for name, error in errors.items()},
        num_units=num_units,
        num_units_paper=sum(one.num_relus * one.num_units for one in forward.codes),
        kernel=forward.kernels.published if return_kernel else None,
        activations=table,
        num_units_published=num_published,
        why_singular=why_singular(forward.kernels.published, sum(one.num_units for one in forward.codes))
        if needs_kernel
        else None,
        notes=tuple(_notes(forward, num_units, num_published)),
    )


def _inputs(module: nn.Module, images: Batch, batch_dim: int | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Inputs:
    """The batch in the type and on the device of the module.

    Raises:
        ValueError: there are fewer than two images, a value is not finite, or the module cannot be called with them.
    """
    batch = images if isinstance(images, torch.Tensor) else torch.from_numpy(np.require(images, requirements=["C", "W"]))
    dim = batch_dim or 0
    if not 0 <= dim < batch.ndim:
        raise ValueError(f"images of shape {tuple(batch.shape)} have no dimension {batch_dim}")
    if batch.shape[dim] < 2:
        raise ValueError(f"{batch.shape[dim]} image: a kernel needs at least 2")
    if batch.is_floating_point() and not bool(torch.isfinite(batch).all()):
        raise ValueError("images hold values that are not finite")
    check_runnable(module, batch, args, kwargs)
    like = next((parameter for parameter in module.parameters() if parameter.is_floating_point()), None)
    if like is not None:
        batch = batch.to(like.device, like.dtype if batch.is_floating_point() else batch.dtype)
    return Inputs(batch, dim, args, kwargs)


def _read(
    module: nn.Module,
    inputs: Inputs,
    kinds: Collection[Kind],
    wanted: Collection[Statistic],
    *,
    outputs: Outputs,
    seed: int,
    batch_dim: int | None,
) -> Reading:
    """Run a module twice, and take its statistics.

    A module that executes something else without a graph is read with one. A module that cannot run with few images, or
    executes something else for them, is traced with all.

    Raises:
        ValueError: there is nothing to count, a value is not finite, or it executes something else each time.
    """
    name = type(module).__name__
    for whole, graph in ((False, False), (False, True), (True, True)):
        try:
            traced = trace(module, inputs if whole else inputs.few(), outputs=outputs, seed=seed, keep=graph)
        except Exception:
            if whole:
                raise
            continue
        reading = Reading(traced, count(traced.events, traced.live, kinds), wanted, batch_dim)
        try:
            reading.run(module, inputs, outputs=outputs, seed=seed, graph=graph)
        except OtherEventsError:
            continue
        except NotFiniteError:
            raise ValueError(f"{name}: {first_not_finite(module, inputs, seed=seed)}") from None
        return reading
    raise ValueError(f"{name} executes other activations each time it runs, although its random numbers are the same")


def _refuse_or_warn(name: str, table: Activations, activations: str, *, strict: bool) -> None:
    """Refuse a module without activations to count; refuse one with others, or warn of them.

    Raises:
        ValueError: there are no activations to count, or `strict` and there are others.
    """
    counts = (Fate.COUNTED, Fate.DEAD)
    kinds = _KINDS[activations]
    remedy = "; activations='sign' counts gelu, silu and the like" if any(row.fate is Fate.SMOOTH for row in table) else ""
    if not any(row.fate in counts and row.kind in kinds for row in table):
        raise ValueError(f"{name} has no activation to count; it executes: {table.summary() or 'none'}{remedy}")
    missed = table.missed()
    if missed:
        message = f"{name}: {len(missed)} of {len(table)} activations are not counted: {table.summary(MISSED)}{remedy}"
        if strict:
            raise ValueError(message)
        warnings.warn(message, UncountedActivationWarning, stacklevel=3)


def _notes(forward: ForwardPass, num_units: int, num_published: int) -> Iterator[str]:
    """What to know about scores that are not, or not only, of what a reader expects."""
    if num_published != num_units:
        yield (
            f"the published code would count {num_published:,} units here, not {num_units:,}: it sees modules whose class has "
            "'ReLU' in its name, and nothing else"
        )
    unread = sum(one.multiplicity * one.num_units for one in forward.codes if not one.num_relus)
    if unread:
        yield (
            f"{unread:,} units of naswot are inputs of modules that have 'ReLU' in the name of their class, but no ReLU reads "
            "them; the published code counts them, naswot_paper does not"
        )
