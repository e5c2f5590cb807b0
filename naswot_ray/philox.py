"""Random numbers that depend only on what they are for. They are the same on every machine.

The generator is the counter-based Philox4x64-10 (Salmon et al., SC 2011) in `numpy.random.Philox`, whose stream NumPy
guarantees. Its 128-bit key is the BLAKE2b digest of a *purpose*, a tuple of strings and integers that says what the numbers are
for. The second word of its 256-bit counter numbers independent streams under one key. Distributions are derived from the 64-bit
words by integer arithmetic and single, correctly rounded floating-point operations only, so a GPU can draw the same bits.
"""

from __future__ import annotations

import hashlib
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Purpose = tuple[str | int, ...]


UNIFORM_UNIT = 2.0**-24
"""The factor that `uniform` multiplies its odd integers by when its bound is 1."""


def key_of(purpose: Purpose) -> npt.NDArray[np.uint64]:
    """The two 64-bit words of a purpose's key, shape (2,)."""
    digest = hashlib.blake2b("\0".join(map(str, purpose)).encode(), digest_size=16).digest()
    return np.frombuffer(digest, dtype="<u8")


def raw_words(purpose: Purpose, count: int, *, stream: int = 0) -> npt.NDArray[np.uint64]:
    """The first `count` 64-bit words of a stream, shape (count,)."""
    key = key_of(purpose)
    counter = np.array([0, stream, 0, 0], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)


def uniform(purpose: Purpose, count: int, *, bound: float, stream: int = 0) -> npt.NDArray[np.float32]:
    """`count` draws from U(-bound, bound), shape (count,), float32.

    Each 32-bit half of a word (low half first) is shifted to a signed 25-bit integer and made odd. The result is one of the
    2^24 odd integers in (-2^24, 2^24), and one float32 product scales it. The distribution is symmetric, and 0 never occurs.
    """
    words = raw_words(purpose, (count + 1) // 2, stream=stream)
    halves = words.astype("<u8", copy=False).view("<i4")[:count]
    scale = np.float32(bound * UNIFORM_UNIT)
    odd: npt.NDArray[np.float32] = ((halves >> 7) | 1).astype(np.float32)
    odd *= scale
    return odd


def normal(purpose: Purpose, count: int, *, stream: int = 0) -> npt.NDArray[np.float32]:
    """`count` draws from N(0, 1), discretised to 65,536 values, shape (count,), float32.

    Each 16-bit quarter of a word (lowest first) picks one of 65,536 mid-quantiles of the distribution. Their absolute values
    are at most 4.33, and their variance is 1 to within 2e-4.
    """
    words = raw_words(purpose, (count + 3) // 4, stream=stream)
    quarters = words.astype("<u8", copy=False).view("<u2")[:count]
    drawn: npt.NDArray[np.float32] = normal_quantiles()[quarters]
    return drawn


@cache
def normal_quantiles() -> npt.NDArray[np.float32]:
    """The value that `normal` returns for each of the 2^16 quarters of a word, shape (65536,)."""
    upper = [NormalDist().inv_cdf((i + 0.5) / 65536) for i in range(32768, 65536)]
    half = np.array(upper, dtype=np.float32)
    return np.concatenate([-half[::-1], half])


def sample_without_replacement(purpose: Purpose, population: int, count: int) -> npt.NDArray[np.int64]:
    """`count` distinct integers below `population` in random order, shape (count,).

    Every integer below `population` gets a random word; the integers with the smallest words are returned.
    """
    return np.argsort(raw_words(purpose, population), kind="stable")[:count].astype(np.int64)
