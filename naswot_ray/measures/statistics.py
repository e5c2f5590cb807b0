"""The statistics that a forward pass collects from a network. Measures are computed from them.

A "tensor" here is one of the *distinct* tensors that live ReLUs read, before the ReLU (`Network.plan.codes`). Tensors that are
zero for every image are left out. Shape suffixes: n images, c channels, t tensors. A tensor of shape (n, c) is treated as
(n, c, 1, 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from naswot_ray.network.plan import Codes

if TYPE_CHECKING:  # who only reads a dataset needs neither
    import torch

    from naswot_ray.measures.kernel import Kernels

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

PATTERN_IMAGES: Final = 16
"""A pattern holds the signs for the first 16 images of the batch, as in SWAP's published code; for all of a smaller batch."""


class Statistic(StrEnum):
    """What an engine can be asked to compute. `ForwardPass` describes each one."""

    KERNELS = "kernels"
    LOG_DETS = "log_dets"
    TENSOR_LOG_DETS = "tensor_log_dets"
    PATTERNS = "patterns"
    COVARIANCE_SPECTRA = "covariance_spectra"
    SMALLEST_CORRELATIONS = "smallest_correlations"
    ACTIVATIONS = "activations"


class LogDets(NamedTuple):
    """log|det K| of the two kernels of a network; -inf if K is exactly singular."""

    published: float
    paper: float


class ForwardPass:
    """The statistics of one network on one batch.

    Args:
        codes: the codes of the network, `Network.plan.codes`.
        num_images: how many images the batch has, n.
        found: the statistics that were asked for.
    """

    def __init__(self, codes: tuple[Codes, ...], num_images: int, found: Mapping[Statistic, Any]) -> None:
        self.codes = codes
        self.num_images = num_images
        self._found = found

    @property
    def kernels(self) -> Kernels:
        """The two kernels K of the whole network: with the published multiplicities, and with every live ReLU counted once."""
        kernels: Kernels = self._get(Statistic.KERNELS)
        return kernels

    @property
    def log_dets(self) -> LogDets:
        """log|det K| of both kernels."""
        log_dets: LogDets = self._get(Statistic.LOG_DETS)
        return log_dets

    @property
    def tensor_log_dets(self) -> FloatArray:
        """log|det K_t| of each tensor, shape (t,), float64; -inf where K_t is exactly singular."""
        return self._array(Statistic.TENSOR_LOG_DETS)

    @property
    def patterns(self) -> BoolArray:
        """Which sign patterns occur among all units, shape (2^16,), bool.

        Bit i of a unit's pattern is 1 if the unit is on for image i, for the first `PATTERN_IMAGES` images. Units of tensors
        that are zero for every image are included; their pattern is 0.
        """
        patterns: BoolArray = self._get(Statistic.PATTERNS)
        return patterns

    @property
    def covariance_spectra(self) -> tuple[FloatArray, ...]:
        """For each tensor, the eigenvalues of the covariance of its channels over all images and pixels, shape (c,), float64.

        They ascend. Rounding may leave some that are slightly negative.
        """
        spectra: tuple[FloatArray, ...] = self._get(Statistic.COVARIANCE_SPECTRA)
        return spectra

    @property
    def smallest_correlations(self) -> FloatArray:
        """For each tensor, the smallest eigenvalue of the correlation of its channels over the pixels of the first image.

        Shape (t,), float64. A channel that is constant in that image has correlation 0 with every channel, itself included.
        """
        return self._array(Statistic.SMALLEST_CORRELATIONS)

    @property
    def activations(self) -> tuple[torch.Tensor, ...]:
        """The tensors themselves, each (n, c, h, w) or (n, c), float32."""
        activations: tuple[torch.Tensor, ...] = self._get(Statistic.ACTIVATIONS)
        return activations

    def _array(self, statistic: Statistic) -> FloatArray:
        array: FloatArray = self._get(statistic)
        return array

    def _get(self, statistic: Statistic) -> Any:
        if statistic not in self._found:
            raise LookupError(f"{statistic} was not asked for: a measure has to name the statistics that it uses")
        return self._found[statistic]
