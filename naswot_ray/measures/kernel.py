"""The kernel K_H of a set of binary codes, and log|det K_H| (Mellor et al., ICML 2021, section 3).

Shape suffix: n images. `K_nn[i, j] = N_A - hamming(code_i, code_j)`; all entries are exact integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from naswot_ray.network.plan import Codes

IntMatrix = npt.NDArray[np.int64]

_WELL_CONDITIONED = 1000
"""A kernel is taken as regular without a closer look if its reciprocal condition number exceeds this times n epsilon."""


@dataclass(frozen=True)
class Kernels:
    """The two kernels of a network on a batch, both shape (n, n), int64.

    Attributes:
        published: counts every live ReLU with its multiplicity in the published code.
        paper: counts every live ReLU once.
    """

    published: IntMatrix
    paper: IntMatrix


def constant_kernels(codes: Iterable[Codes], n: int) -> Kernels:
    """The share of tensors that are zero for every image. All images agree there, so nothing has to be computed."""
    zero = [c for c in codes if c.node is None]
    return Kernels(
        published=np.full((n, n), sum(c.multiplicity * c.num_units for c in zero), np.int64),
        paper=np.full((n, n), sum(c.num_relus * c.num_units for c in zero), np.int64),
    )


def log_det(K_nn: IntMatrix) -> float:
    """log|det K| of a kernel, -inf if K is singular.

    Kernels are positive semi-definite integer matrices. Floating-point elimination cannot tell a singular kernel from an
    ill-conditioned one; the published code returns rounding noise there. A doubtful kernel is therefore decided in integers,
    by its rank modulo a prime. The value is also -inf, by definition, if elimination in float64 finds a determinant that is
    not positive.

    Args:
        K_nn: shape (n, n), int64, symmetric.
    """
    n = len(K_nn)
    # Two images with the same code make the commonest singular kernel, which shows without any elimination.
    d_n = K_nn.diagonal()
    same_nn = (K_nn == d_n[:, None]) & (K_nn == d_n[None, :])
    if n == 0 or d_n.min() <= 0 or same_nn.sum() > n:
        return -math.inf
    K = K_nn.astype(np.float64)
    factor, failed = lapack.dpotrf(K, lower=True, clean=False)
    if not failed:
        rcond, _ = lapack.dpocon(factor, np.abs(K).sum(0).max(), uplo="L")
        # For a symmetric matrix the condition number in the 1-norm, which is estimated here to a small factor, is at least the
        # one in the 2-norm, which decides below. So a kernel that passes here would pass there.
        if rcond > _WELL_CONDITIONED * n * np.finfo(np.float64).eps:
            return float(2 * np.log(factor.diagonal()).sum())
    sign, value = np.linalg.slogdet(K)
    eigenvalues = np.linalg.eigvalsh(K)
    trustworthy = eigenvalues[0] > n * np.finfo(np.float64).eps * eigenvalues[-1]
    if sign <= 0 or (not trustworthy and _is_singular(K_nn)):
        return -math.inf
    return float(value)


def why_singular(K_nn: IntMatrix, num_units: int) -> str | None:
    """Why det K = 0, in a few words; None if it is not 0.

    Args:
        K_nn: a kernel, shape (n, n), int64.
        num_units: how many units it was taken from, each counted once.
    """
    if log_det(K_nn) != -math.inf:
        return None
    n = len(K_nn)
    if num_units == 0:
        return "no live unit"
    equal = np.argwhere(np.triu(K_nn == K_nn.diagonal()[:, None], 1))
    # K is the Gram matrix of codes of +1 and -1 plus a constant, so its rank is at most one more than the number of units.
    if num_units + 1 < n:
        return f"{num_units} unit{'s' * (num_units > 1)} cannot tell {n} images apart: K has rank {num_units + 1} at most"
    if len(equal):
        others = f", and {len(equal) - 1} other pairs" if len(equal) > 1 else ""
        return f"images {equal[0][0]} and {equal[0][1]} have equal codes{others}"
    return "the codes of the images are linearly dependent"


def _is_singular(K_nn: IntMatrix) -> bool:
    """Whether det K = 0, by elimination modulo two primes.

    A determinant that is not 0 modulo some prime is not 0. One that is 0 modulo both primes is 0, except with a probability of
    about 2^-60 per kernel.
    """
    return all(_is_singular_modulo(K_nn, prime) for prime in (2**31 - 1, 2**31 - 19))


def _is_singular_modulo(K_nn: IntMatrix, prime: int) -> bool:
    a = K_nn % prime
    for k in range(len(a)):
        pivots = np.flatnonzero(a[k:, k])
        if not len(pivots):
            return True
        p = k + pivots[0]
        a[[k, p]] = a[[p, k]]
        factors = a[k + 1 :, k] * pow(int(a[k, k]), -1, prime) % prime
        a[k + 1 :, k:] = (a[k + 1 :, k:] - factors[:, None] * a[k, k:][None, :]) % prime
    return False
