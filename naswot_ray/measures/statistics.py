"""What a forward pass finds of a network: the statistics that measures are taken from.

A tensor here is one of the *distinct* tensors that live ReLUs read, before the ReLU (`Network.plan.codes`), unless it is zero
for every image. Shape suffixes: n images, c channels, t tensors. A tensor of shape (n, c) counts as (n, c, 1, 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from naswot_ray.network.plan import Codes

if TYPE_CHECKING:  # reading a dataset needs neither
    import torch

    from naswot_ray.measures.kernel import Kernels

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

PATTERN_IMAGES: Final = 16
"""Images whose signs make a pattern, the first of the batch; all of a smaller batch (SWAP's published code takes 16)."""


class Statistic(StrEnum):
    """What an engine can be asked to find; `ForwardPass` says what each one is."""

    KERNELS = "kernels"
    LOG_DETS = "log_dets"
    TENSOR_LOG_DETS = "tensor_log_dets"
    PATTERNS = "patterns"
    COVARIANCE_SPECTRA = "covariance_spectra"
    SMALLEST_CORRELATIONS = "smallest_correlations"
    ACTIVATIONS = "activations"


class LogDets(NamedTuple):
    """log|det K| of the two kernels of a network; -inf where K is singular, exactly so."""

    published: float
    paper: float


class ForwardPass:
    """The statistics of one network on one batch.

    Args:
        codes: the network's, `Network.plan.codes`.
        num_images: n.
        found: the statistics that were asked for.
    """

    def __init__(self, codes: tuple[Codes, ...], num_images: int, found: Mapping[Statistic, Any]) -> None:
        self.codes = codes
        self.num_images = num_images
        self._found = found

    @property
    def kernels(self) -> Kernels:
        """K of the whole network: with the published multiplicities, and with each live ReLU once."""
        kernels: Kernels = self._get(Statistic.KERNELS)
        return kernels

    @property
    def log_dets(self) -> LogDets:
        """log|det K| of both kernels."""
        log_dets: LogDets = self._get(Statistic.LOG_DETS)
        return log_dets

    @property
    def tensor_log_dets(self) -> FloatArray:
        """log|det K_t| of each tensor, shape (t,), float64; -inf where K_t is singular, exactly so."""
        return self._array(Statistic.TENSOR_LOG_DETS)

    @property
    def patterns(self) -> BoolArray:
        """Which sign patterns occur, shape (2^16,), bool.

        Bit i of a unit's pattern tells whether the unit is on for image i, of the first `PATTERN_IMAGES`. The units of all
        tensors count, and those of tensors that are zero for every image, whose pattern is 0.
        """
        patterns: BoolArray = self._get(Statistic.PATTERNS)
        return patterns

    @property
    def covariance_spectra(self) -> tuple[FloatArray, ...]:
        """Of each tensor the eigenvalues of its channels' covariance over all images and pixels, shape (c,), float64.

        Ascending. Rounding may leave tiny negative ones.
        """
        spectra: tuple[FloatArray, ...] = self._get(Statistic.COVARIANCE_SPECTRA)
        return spectra

    @property
    def smallest_correlations(self) -> FloatArray:
        """Of each tensor the smallest eigenvalue of its channels' correlation over the pixels of the first image, shape (t,).

        float64. The correlation with a channel that is constant in that image is 0, with itself too.
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
            raise LookupError(f"{statistic} was not asked for: a measure has to name the statistics that it is taken from")
        return self._found[statistic]
