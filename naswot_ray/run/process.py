"""Settings of a whole process: for one that does nothing but score, and for one that does so for a while."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def dedicate_process(num_threads: int) -> None:
    """Set up this process, which must do nothing but score from now on.

    Args:
        num_threads: how many threads torch's CPU operations take.
    """
    torch.set_num_threads(num_threads)
    _keep_freed_memory()
    gc.freeze()  # what is there now stays: looking for garbage in all of torch takes as long as scoring a network


@contextmanager
def limited_threads(num_threads: int) -> Iterator[None]:
    """Inside, torch's CPU operations take so many threads; afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _keep_freed_memory() -> None:
    """Have glibc keep the memory of freed tensors instead of giving it back and mapping it anew (bench/throughput.py)."""
    m_trim_threshold, m_mmap_threshold = -1, -3  # <malloc.h>
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    mallopt(m_mmap_threshold, 32 * 2**20)  # the most it takes
    mallopt(m_trim_threshold, 2**31 - 1)
