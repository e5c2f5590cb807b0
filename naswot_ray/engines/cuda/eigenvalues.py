"""Computes eigenvalues of the channels' covariances and correlations in float64, with plain torch operations.

Shapes: t tensors, p pixels, c channels.

A batch holds the matrices of one architecture, never of several. A solver may treat batches of different sizes differently, and
a score must not depend on what else is in its group.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from naswot_ray.engines.cuda.tables import Stack


def covariance_spectra(stacks: Iterable[Stack], covariances: torch.Tensor) -> torch.Tensor:
    """Compute the eigenvalues of an architecture's covariances.

    Args:
        stacks: `Lowered.covariances`.
        covariances: the architecture's covariances, flat, float64.

    Returns:
        the eigenvalues of the matrices of each stack, ascending for each matrix; flat, float64.
    """
    return _flat(covariances, [torch.linalg.eigvalsh(_arrays(stack, covariances)) for stack in stacks])


def smallest_correlations(stacks: Iterable[Stack], firsts: torch.Tensor) -> torch.Tensor:
    """Compute the smallest eigenvalue of the channels' correlation for each tensor, on the first image.

    Args:
        stacks: `Lowered.firsts`.
        firsts: values of the architecture's tensors for the first image, flat.

    Returns:
        one eigenvalue for each tensor of each stack; flat, float64.
    """
    return _flat(firsts, [_smallest_correlations(_arrays(stack, firsts)) for stack in stacks])


def _arrays(stack: Stack, flat: torch.Tensor) -> torch.Tensor:
    return flat[stack.place : stack.end].view(len(stack.tensors), *stack.shape)


def _flat(like: torch.Tensor, parts: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.cat([like.new_empty(0, dtype=torch.float64), *(part.flatten() for part in parts)])


def _smallest_correlations(x_tpc: torch.Tensor) -> torch.Tensor:
    """The smallest eigenvalue for each tensor, shape (t,). A constant channel has correlation 0 with all, itself included."""
    constant_tc = (x_tpc == x_tpc[:, :1]).all(1)
    x_tpc = x_tpc.double()
    x_tpc = x_tpc - x_tpc.mean(1, keepdim=True)
    norms_tc = x_tpc.norm(dim=1).masked_fill(constant_tc, torch.inf)
    x_tpc = x_tpc / norms_tc[:, None]
    spectra_tc: torch.Tensor = torch.linalg.eigvalsh(x_tpc.mT @ x_tpc)
    return spectra_tc[:, 0]
