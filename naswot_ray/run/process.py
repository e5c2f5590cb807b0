"""Settings of a whole process: for a process that only scores, and for one that scores for a while."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def dedicate_process(num_threads: int) -> None:
    """Set up this process for scoring. It must do nothing else from now on.

    Args:
        num_threads: how many threads torch's CPU operations use.
    """
    torch.set_num_threads(num_threads)
    _keep_freed_memory()
    gc.freeze()  # skip what exists now: searching all of torch for garbage takes as long as scoring a network


@contextmanager
def limited_threads(num_threads: int) -> Iterator[None]:
    """Inside this context, torch's CPU operations use `num_threads` threads; afterwards, as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _keep_freed_memory() -> None:
    """Make glibc keep the memory of freed tensors, instead of returning it and mapping it anew (bench/throughput.py)."""
    m_trim_threshold, m_mmap_threshold = -1, -3  # <malloc.h>
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    mallopt(m_mmap_threshold, 32 * 2**20)  # the largest value that it accepts
    mallopt(m_trim_threshold, 2**31 - 1)
