"""The statistics of the tensors that ReLUs read, in plain torch operations. Faster engines are tested against this module.

`x` has shape (n, c, h, w), or (n, c) after a global pool. It is float32 and can be on any device. Shape suffixes: n images,
c channels, u units, p pixels.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from naswot_ray.measures.kernel import IntMatrix, Kernels, constant_kernels, log_det
from naswot_ray.measures.statistics import PATTERN_IMAGES, FloatArray, ForwardPass, LogDets, Statistic
from naswot_ray.network.plan import Codes

IntVector = npt.NDArray[np.int64]

_OF_KERNELS: Final = frozenset({Statistic.KERNELS, Statistic.LOG_DETS, Statistic.TENSOR_LOG_DETS})
"""The statistics that are computed from kernels."""

_EXACT_IN_FLOAT32: Final = 2**24
"""Sums of zeros and ones stay exact in float32 below this many terms (IEEE 754: 24 bits of significand)."""


@dataclass(frozen=True)
class TensorStatistics:
    """The statistics of one tensor; None for those that were not asked for. `ForwardPass` describes each one."""

    K_nn: IntMatrix | None = None
    log_det: float | None = None
    patterns: IntVector | None = None
    covariance_spectrum: FloatArray | None = None
    smallest_correlation: float | None = None
    activations: torch.Tensor | None = None


def find(x: torch.Tensor, wanted: Collection[Statistic]) -> TensorStatistics:
    """Compute the statistics of one tensor.

    Args:
        x: a tensor that ReLUs read, shape (n, c, h, w) or (n, c).
        wanted: the statistics to compute.
    """
    K_nn = agreements(x) if not _OF_KERNELS.isdisjoint(wanted) else None
    return TensorStatistics(
        K_nn=K_nn,
        log_det=log_det(K_nn) if K_nn is not None and Statistic.TENSOR_LOG_DETS in wanted else None,
        patterns=sign_patterns(x) if Statistic.PATTERNS in wanted else None,
        covariance_spectrum=covariance_spectrum(x) if Statistic.COVARIANCE_SPECTRA in wanted else None,
        smallest_correlation=smallest_correlation(x) if Statistic.SMALLEST_CORRELATIONS in wanted else None,
        activations=x if Statistic.ACTIVATIONS in wanted else None,
    )


class ForwardPassBuilder:
    """Builds the statistics of a network from those of its tensors.

    Args:
        num_images: how many images the batch has, n.
        wanted: the statistics to build.
    """

    def __init__(self, num_images: int, wanted: Collection[Statistic]) -> None:
        self._num_images = num_images
        self._wanted = frozenset(wanted)
        self._kernels = Kernels(*(np.zeros((num_images, num_images), np.int64) for _ in range(2)))
        self._patterns = np.zeros(2**PATTERN_IMAGES, np.bool_)
        self._of_tensors: dict[Codes, TensorStatistics] = {}

    def add(self, codes: Codes, found: TensorStatistics) -> None:
        """Add a tensor with its codes and its statistics.

        A tensor that no ReLU reads adds to the published kernel alone: the published code takes the inputs of some modules of
        people's own for those of ReLUs.
        """
        if found.K_nn is not None:
            np.add(self._kernels.published, codes.multiplicity * found.K_nn, out=self._kernels.published)
            np.add(self._kernels.paper, codes.num_relus * found.K_nn, out=self._kernels.paper)
        if codes.num_relus == 0:
            return
        if found.patterns is not None:
            self._patterns[found.patterns] = True
        self._of_tensors[codes] = replace(found, K_nn=None, patterns=None)

    def build(self, codes: tuple[Codes, ...]) -> ForwardPass:
        """The statistics of the network.

        Args:
            codes: all codes of the network. Those that are not zero for every image must have been added.
        """
        constant = constant_kernels(codes, self._num_images)
        kernels = Kernels(self._kernels.published + constant.published, self._kernels.paper + constant.paper)
        self._patterns[0] |= any(one.node is None for one in codes)
        in_order = [self._of_tensors[one] for one in codes if one.node is not None and one.num_relus]
        found: dict[Statistic, Any] = {
            Statistic.PATTERNS: self._patterns,
            Statistic.KERNELS: kernels,
            Statistic.TENSOR_LOG_DETS: np.array([one.log_det for one in in_order], np.float64),
            Statistic.COVARIANCE_SPECTRA: tuple(one.covariance_spectrum for one in in_order),
            Statistic.SMALLEST_CORRELATIONS: np.array([one.smallest_correlation for one in in_order], np.float64),
            Statistic.ACTIVATIONS: tuple(one.activations for one in in_order),
        }
        if Statistic.LOG_DETS in self._wanted:
            found[Statistic.LOG_DETS] = LogDets(log_det(kernels.published), log_det(kernels.paper))
        return ForwardPass(codes, self._num_images, {name: value for name, value in found.items() if name in self._wanted})


def agreements(x: torch.Tensor) -> IntMatrix:
    """The share of one tensor in the kernel: for each pair of images, the number of units whose codes agree.

    Args:
        x: a tensor that a ReLU reads, shape (n, ...); the code of a unit is `x > 0`.

    Returns:
        shape (n, n), int64: `X X^T + (1-X)(1-X)^T` with `X = (x > 0)`, computed as `2 X X^T + u - r_i - r_j`.
    """
    codes_nu = (x > 0).flatten(1)
    K_nn = torch.zeros(len(x), len(x), dtype=torch.float64, device=x.device)
    for chunk_nu in codes_nu.split(_EXACT_IN_FLOAT32 - 1, dim=1):
        chunk_nu = chunk_nu.float()
        both_nn = (chunk_nu @ chunk_nu.T).double()
        r_n = both_nn.diagonal()
        K_nn += 2 * both_nn + chunk_nu.shape[1] - r_n[:, None] - r_n[None, :]
    return K_nn.cpu().numpy().astype(np.int64)


def sign_patterns(x: torch.Tensor) -> IntVector:
    """The pattern of each unit, shape (u,), int64: bit i is 1 if the unit is on for image i of the first `PATTERN_IMAGES`."""
    codes_nu = (x[:PATTERN_IMAGES] > 0).flatten(1).long()
    bits_n = 2 ** torch.arange(len(codes_nu), device=x.device)
    patterns_u: IntVector = (codes_nu * bits_n[:, None]).sum(0).cpu().numpy()
    return patterns_u


def covariance_spectrum(x: torch.Tensor) -> FloatArray:
    """The eigenvalues of the covariance of the channels over all images and pixels, shape (c,), float64, ascending."""
    x_cp = x.double().flatten(2).transpose(0, 1).flatten(1) if x.ndim > 2 else x.double().T
    x_cp = x_cp - x_cp.mean(1, keepdim=True)
    spectrum_c: FloatArray = torch.linalg.eigvalsh(x_cp @ x_cp.T / x_cp.shape[1]).cpu().numpy()
    return spectrum_c


def smallest_correlation(x: torch.Tensor) -> float:
    """The smallest eigenvalue of the Pearson correlation of the channels over the pixels of the first image.

    A channel that is constant in that image has correlation 0 with every channel, itself included.
    """
    x_cp = x[0].double().flatten(1) if x.ndim > 2 else x[0].double()[:, None]
    constant_c = (x_cp == x_cp[:, :1]).all(1)
    x_cp = x_cp - x_cp.mean(1, keepdim=True)
    norms_c = x_cp.norm(dim=1).masked_fill(constant_c, torch.inf)
    x_cp = x_cp / norms_c[:, None]
    return float(torch.linalg.eigvalsh(x_cp @ x_cp.T)[0])
