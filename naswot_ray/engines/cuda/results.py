"""Turns what a group's kernels found on the device into each architecture's statistics on the host."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from naswot_ray.engines.cuda.tables import Lowered
from naswot_ray.measures.kernel import Kernels, log_det
from naswot_ray.measures.statistics import BoolArray, FloatArray, LogDets, Statistic

_DOUBT = 1e-6
"""If a pivot is smaller than this fraction of the kernel's largest entry, the CPU decides in integers whether the kernel is
singular (`kernel.log_det`)."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the device has found for a group; None for what is not wanted. `tensors` are the coded ones of all architectures.

    Attributes:
        distances: Hamming distances times multiplicities, shape (architectures, 2, n, n), int64.
        pivots: pivots of the kernels, shape (architectures, 2, n), float64; None also if n is too large.
        tensor_distances: Hamming distances of each tensor, shape (tensors, n, n), int32.
        tensor_pivots: pivots of each tensor's kernel, shape (tensors, n), float64; None also if n is too large.
        occurs: whether each pattern but 0 occurs, shape (architectures, 2^16), int8.
        num_on: how many units are on for at least one image of the pattern, shape (architectures,), int64.
        spectra: the eigenvalues of the covariances, by architecture and stack, flat, float64.
        smallest: the smallest eigenvalues of the correlations, by architecture and stack, flat, float64.
    """

    distances: torch.Tensor | None = None
    pivots: torch.Tensor | None = None
    tensor_distances: torch.Tensor | None = None
    tensor_pivots: torch.Tensor | None = None
    occurs: torch.Tensor | None = None
    num_on: torch.Tensor | None = None
    spectra: torch.Tensor | None = None
    smallest: torch.Tensor | None = None

    @property
    def is_on_gpu(self) -> bool:
        """False in Triton's interpreter."""
        tensors = (getattr(self, field.name) for field in fields(self))
        return any(tensor is not None and tensor.is_cuda for tensor in tensors)


class Results:
    """The statistics of a group. Copying to the host begins at once, and `wait` waits for it.

    Args:
        group: the architectures.
        found: what the launched kernels find for them.
        wanted: which statistics to return.
    """

    def __init__(self, group: Sequence[Lowered], found: Found, wanted: Collection[Statistic]) -> None:
        self._group, self._wanted = group, wanted
        self._first_tensor = _starts(len(one.tensor_units) for one in group)
        self._distances, self._tensor_distances = found.distances, found.tensor_distances
        self._pivots, self._tensor_pivots = _to_host(found.pivots), _to_host(found.tensor_pivots)
        self._occurs, self._num_on = _to_host(found.occurs), _to_host(found.num_on)
        self._spectra = _to_host(found.spectra)
        self._first_spectrum = _starts(sum(len(s.tensors) * s.shape[1] for s in one.covariances) for one in group)
        self._smallest = _to_host(found.smallest)
        self._first_smallest = _starts(sum(len(s.tensors) for s in one.firsts) for one in group)
        self._done: torch.cuda.Event | None = None
        if found.is_on_gpu:
            self._done = torch.cuda.Event()
            self._done.record()

    def wait(self) -> None:
        """Wait until the host has what it needs of every architecture."""
        if self._done is not None:
            self._done.synchronize()

    def statistics(self, number: int) -> dict[Statistic, Any]:
        """The wanted statistics of one architecture. Call `wait` first.

        Kernels are copied from the device only now, and so are those whose pivots leave doubt.
        """
        wanted = self._wanted
        found: dict[Statistic, Any] = {}
        log_dets = self._log_dets(number) if Statistic.LOG_DETS in wanted else None
        if Statistic.KERNELS in wanted or (Statistic.LOG_DETS in wanted and log_dets is None):
            found[Statistic.KERNELS] = kernels = self._kernels(number)
            log_dets = log_dets or LogDets(log_det(kernels.published), log_det(kernels.paper))
        if Statistic.LOG_DETS in wanted:
            found[Statistic.LOG_DETS] = log_dets
        if Statistic.TENSOR_LOG_DETS in wanted:
            found[Statistic.TENSOR_LOG_DETS] = self._tensor_log_dets(number)
        if Statistic.PATTERNS in wanted:
            found[Statistic.PATTERNS] = self._patterns(number)
        if Statistic.COVARIANCE_SPECTRA in wanted:
            found[Statistic.COVARIANCE_SPECTRA] = self._covariance_spectra(number)
        if Statistic.SMALLEST_CORRELATIONS in wanted:
            found[Statistic.SMALLEST_CORRELATIONS] = self._smallest_correlations(number)
        return found

    def _kernels(self, number: int) -> Kernels:
        assert self._distances is not None
        num_units = np.array(self._group[number].num_units, np.int64)[:, None, None]
        published, paper = num_units - self._distances[number].cpu().numpy()
        return Kernels(published, paper)

    def _log_dets(self, number: int) -> LogDets | None:
        """Log-determinants from the pivots; None if the pivots leave doubt."""
        if self._pivots is None:
            return None
        pivots = self._pivots[number]
        if not (pivots.min(axis=1) > _DOUBT * np.array(self._group[number].num_units)).all():
            return None
        return LogDets(*np.log(pivots).sum(axis=1).tolist())

    def _tensor_log_dets(self, number: int) -> FloatArray:
        assert self._tensor_distances is not None
        units_t = np.array(self._group[number].tensor_units, np.int64)
        first = self._first_tensor[number]
        log_dets_t = np.full(len(units_t), np.nan)
        if self._tensor_pivots is not None:
            pivots_tn = self._tensor_pivots[first : first + len(units_t)]
            trusted_t = pivots_tn.min(axis=1, initial=np.inf) > _DOUBT * units_t
            log_dets_t[trusted_t] = np.log(pivots_tn[trusted_t]).sum(axis=1)
        for t in np.flatnonzero(np.isnan(log_dets_t)):
            log_dets_t[t] = log_det(units_t[t] - self._tensor_distances[first + t].cpu().numpy())
        return log_dets_t

    def _patterns(self, number: int) -> BoolArray:
        assert self._occurs is not None
        assert self._num_on is not None
        one = self._group[number]
        patterns: BoolArray = self._occurs[number] != 0
        # Pattern 0 occurs if some unit is off for all images: a computed one, or any unit of a tensor that is always zero.
        patterns[0] = self._num_on[number] < sum(one.tensor_units) or any(codes.node is None for codes in one.codes)
        return patterns

    def _covariance_spectra(self, number: int) -> tuple[FloatArray, ...]:
        assert self._spectra is not None
        one, at = self._group[number], self._first_spectrum[number]
        spectra: dict[int, FloatArray] = {}
        for stack in one.covariances:
            channels = stack.shape[1]
            for t in stack.tensors:
                spectra[t] = self._spectra[at : at + channels]
                at += channels
        return tuple(spectra[t] for t in range(len(one.tensor_units)))

    def _smallest_correlations(self, number: int) -> FloatArray:
        assert self._smallest is not None
        one, first = self._group[number], self._first_smallest[number]
        correlated = [t for stack in one.firsts for t in stack.tensors]
        smallest_t = np.zeros(len(one.tensor_units))
        smallest_t[correlated] = self._smallest[first : first + len(correlated)]
        return smallest_t


def _starts(lengths: Iterable[int]) -> list[int]:
    """Where arrays of these lengths begin if they follow each other."""
    return list(accumulate(lengths, initial=0))


def _to_host(tensor: torch.Tensor | None) -> npt.NDArray[Any] | None:
    """Begin to copy a tensor. The returned array is filled once everything launched so far has ended."""
    if tensor is None:
        return None
    if tensor.is_cuda:
        tensor = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
    return tensor.numpy()
