"""What runs next to the data: scores the architectures of a task and writes their part."""

from __future__ import annotations

import ctypes
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from naswot_ray.dataset import parts, schema
from naswot_ray.dataset.storage import Storage
from naswot_ray.run.grid import Batch, Shard, Task
from naswot_ray.scoring import exact
from naswot_ray.scoring.score import as_batch, score
from naswot_ray.spaces import Space

Pixels = npt.NDArray[np.float32]
Row = dict[str, Any]


@dataclass(frozen=True)
class Receipt:
    """What a worker reports of a task: the rows it wrote, counted by status."""

    counts: Mapping[str, int] = field(default_factory=dict)


class Worker:
    """Scores tasks, one after the other, in one process.

    Args:
        root: of the dataset.
        run_id: of the run, written to each row.
        num_threads: of torch's CPU operations; None leaves them as they are.
    """

    def __init__(self, root: str, run_id: str, num_threads: int | None = None) -> None:
        self._storage = Storage(root)
        self._run_id = run_id
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        _keep_freed_memory()

    def run(self, task: Task, space: Space, images: Pixels | None) -> Receipt:
        """Do a task: compute its rows and write them to the shard's part.

        An architecture that raises becomes a `failed` row; only the storage can make a task fail.

        Args:
            task: what to do.
            space: that of the task's shard. Given with each task, since a worker that died comes back with nothing.
            images: the shard's batch, shape (n, c, h, w), float32; None for a shard of the architectures table.

        Raises:
            DatasetError: the part could not be written.
        """
        shard = task.shard
        if shard.batch is None:
            rows = [architecture_row(space, index) for index in task.indices]
            parts.write(self._storage, shard.path, schema.ARCHITECTURES, rows)
        else:
            assert images is not None
            batch = as_batch(images).to(self._device)
            rows = [self.score_row(space, index, shard.batch, batch) for index in task.indices]
            parts.write(self._storage, shard.path, schema.SCORES, rows)
        return Receipt(Counter(row["status"] for row in rows))

    def score_row(self, space: Space, index: int, batch: Batch, images: torch.Tensor) -> Row:
        """One row of the scores table; `failed` with the error where the architecture raises."""
        started = time.perf_counter()
        row = empty_score_row(space, index, batch, device=self._device, run_id=self._run_id)

        def compute() -> Row:
            network = space.network(row["arch_id"], input_shape=images.shape[1:])
            result = score(network, images, seed=batch.seed)
            if math.isnan(result.score):
                raise ArithmeticError("the score is NaN")
            return {
                "score": result.score,
                "score_paper": result.score_paper,
                "num_units": result.num_units,
                "status": result.status,
            }

        row |= _or_failed(compute)
        return row | {"seconds": time.perf_counter() - started}


def empty_score_row(space: Space, index: int, batch: Batch, *, device: str, run_id: str) -> Row:
    """A row of the scores table with its key and provenance, and no score yet."""
    return {
        "space": space.name,
        "arch_id": space[index],
        "arch_index": index,
        "images": batch.images,
        "batch_size": batch.batch_size,
        "seed": batch.seed,
        "score": None,
        "score_paper": None,
        "num_units": None,
        "status": schema.STATUS_FAILED,
        "error": None,
        "engine": exact.NAME,
        "dtype": exact.DTYPE,
        "device": device,
        "seconds": 0.0,
        "run_id": run_id,
    }


def empty_architecture_row(space: Space, index: int) -> Row:
    """A row of the architectures table with its key, and nothing derived yet."""
    return {
        "space": space.name,
        "arch_id": space[index],
        "arch_index": index,
        "benchmark_index": None,
        "architecture": None,
        "isomorphism_class": None,
        "params": None,
        "flops": None,
        "num_relus": None,
        "num_layers": None,
        "status": schema.STATUS_FAILED,
        "error": None,
    }


def architecture_row(space: Space, index: int) -> Row:
    """One row of the architectures table: the architecture, and the baselines of the network as it was trained."""
    row = empty_architecture_row(space, index)

    def derive() -> Row:
        arch_id = row["arch_id"]
        network = space.trained_network(arch_id)
        return {
            "benchmark_index": space.benchmark_index(arch_id),
            "architecture": space.architecture(arch_id),
            "isomorphism_class": space.isomorphism_class(arch_id),
            "params": network.params,
            "flops": network.flops,
            "num_relus": network.num_relus,
            "num_layers": network.num_layers,
            "status": schema.STATUS_OK,
        }

    return row | _or_failed(derive)


def write_failed(storage: Storage, space: Space, shard: Shard, index: int, error: str, run_id: str) -> Receipt:
    """Record an architecture that could not be computed in any worker."""
    if shard.batch is None:
        row, columns = empty_architecture_row(space, index), schema.ARCHITECTURES
    else:
        row, columns = empty_score_row(space, index, shard.batch, device="none", run_id=run_id), schema.SCORES
    parts.write(storage, shard.path, columns, [row | {"error": error}])
    return Receipt({schema.STATUS_FAILED: 1})


def _or_failed(compute: Callable[[], Row]) -> Row:
    try:
        return compute()
    except Exception as error:  # whatever one architecture does must not cost its shard; the row tells
        return {"status": schema.STATUS_FAILED, "error": f"{type(error).__name__}: {error}"}


def _keep_freed_memory() -> None:
    """Have glibc keep the memory of freed tensors instead of giving it back and mapping it anew (bench/throughput.py)."""
    m_trim_threshold, m_mmap_threshold = -1, -3  # <malloc.h>
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    mallopt(m_mmap_threshold, 32 * 2**20)  # the most it takes
    mallopt(m_trim_threshold, 2**31 - 1)
