"""What runs next to the data: scores the architectures of a task and writes their part."""

from __future__ import annotations

import ctypes
import gc
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from naswot_ray.dataset import parts, schema
from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.storage import Storage
from naswot_ray.network import Network
from naswot_ray.run.grid import Batch, Shard, Task
from naswot_ray.scoring.engines import Engine, Score, default_engine, get_engine
from naswot_ray.scoring.score import as_batch
from naswot_ray.scoring.weights import SeededWeights
from naswot_ray.spaces import Space

WRITE_SECONDS = 600.0
"""After so long a worker writes what it has."""

NUM_NETWORKS = 1024
"""Graphs that a worker keeps, at 120 KB each, of NDS up to 500: those of a shard, for the next batch that it scores them on."""

MAX_ERROR_CHARACTERS = 2000
"""How much of what an architecture failed with goes into its row."""

Pixels = npt.NDArray[np.float32]
Row = dict[str, Any]


@dataclass(frozen=True)
class Receipt:
    """What a worker reports of a task.

    Attributes:
        counts: the rows that this run has written, by status: now, or in an earlier try of the task that was cut off before
            it could report.
        skipped: rows that others had written.
        part: that was written; None if nothing was.
        notes: what an operator should know of.
        left: positions that were handed back, because the task took long.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    skipped: int = 0
    part: PurePosixPath | None = None
    notes: tuple[str, ...] = ()
    left: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of the task, written now or before."""
        return sum(self.counts.values()) + self.skipped


class DeviceLostError(Exception):
    """The worker's GPU computes nothing more in this process; another process may be able to use it."""


class Worker:
    """Scores tasks, one after the other, in one process.

    Args:
        root: of the dataset.
        run_id: of the run, written to each row.
        settings: of the run.
        num_threads: of torch's CPU operations; None leaves them as they are.
        engine: what scores; None for the one that suits the device.
        dtype: what its convolutions multiply.
    """

    def __init__(
        self,
        root: str,
        run_id: str,
        settings: Settings,
        num_threads: int | None = None,
        *,
        engine: str | None = None,
        dtype: str = "float32",
    ) -> None:
        self._storage = Storage(root)
        self._run_id = run_id
        self._settings = settings
        self._device = torch.device("cuda" if torch.cuda.is_available() and engine != "fast" else "cpu")
        self._open_engine = partial(get_engine, engine or default_engine(self._device), dtype)
        self._told = False
        self._networks: dict[tuple[object, ...], Network] = {}
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        _keep_freed_memory()
        gc.freeze()  # what is there now stays: looking for garbage in all of torch takes as long as scoring a network

    def run(self, task: Task, space: Space, images: Pixels | None) -> Receipt:
        """Do a task: compute its rows and write them to the shard's part.

        Rows that are there are not computed again: another run may have written them, or a worker that was cut off after it
        had. An architecture that raises becomes a `failed` row; only the storage or the device can make a task fail. After
        `WRITE_SECONDS` what there is is written, and the rest handed back: a worker that dies costs no more than that, and one
        that hangs can be told from one that has large networks.

        Args:
            task: what to do.
            space: that of the task's shard. Given with each task, since a worker that died comes back with nothing.
            images: the shard's batch, shape (n, c, h, w), float32; None for a shard of the architectures table.

        Raises:
            DatasetError: the part could not be written.
            DeviceLostError: the process must be started anew.
            SettingsError: the engine cannot run on this machine.
        """
        indices = self._left_to_do(task)
        counts = count_written(self._storage, task, self._run_id, frozenset(task.indices) - frozenset(indices))
        skipped = len(task.indices) - len(indices) - counts.total()
        if not indices:
            return Receipt(counts, skipped, notes=self._storage.take_notes())
        rows: list[Row] = []
        started = time.monotonic()
        for some in self._rows(task, indices, space, images):
            rows += some
            if time.monotonic() - started > WRITE_SECONDS:
                break
        part = write_rows(self._storage, task.shard, rows, self._run_id, self._settings)
        counts += Counter(row["status"] for row in rows)
        return Receipt(counts, skipped, part, self._take_notes(), tuple(indices[len(rows) :]))

    def open(self) -> None:
        """Make ready for scoring, so that an engine which cannot run here is found out before anything is written.

        Raises:
            SettingsError: the engine cannot run on this machine.
        """
        _ = self._engine

    @cached_property
    def _engine(self) -> Engine:
        """Opened when it is first needed: a worker that scores nothing needs none."""
        return self._open_engine()

    def _take_notes(self) -> tuple[str, ...]:
        notes = self._storage.take_notes()
        if "_engine" in self.__dict__ and self._engine.note and not self._told:
            self._told = True
            notes = (*notes, self._engine.note)
        return notes

    def _rows(self, task: Task, indices: Sequence[int], space: Space, images: Pixels | None) -> Iterator[list[Row]]:
        """The rows of a task, as many at a time as the engine scores together."""
        batch = task.shard.point.batch
        if batch is None:
            yield from ([architecture_row(space, index)] for index in indices)
            return
        assert images is not None
        pixels = as_batch(images).to(self._device)
        size = self._engine.max_group
        for start in range(0, len(indices), size):
            yield self.score_rows(space, indices[start : start + size], batch, pixels)

    def _network(self, space: Space, index: int, input_shape: Sequence[int]) -> Network:
        """An architecture's graph, with what engines derive from it; kept for the next batch that it is scored on."""
        key = (space.name, *input_shape, index)
        network = self._networks.pop(key, None) or space.network(space[index], input_shape=input_shape)
        self._networks[key] = network
        if len(self._networks) > NUM_NETWORKS:
            del self._networks[next(iter(self._networks))]
        return network

    def _left_to_do(self, task: Task) -> Sequence[int]:
        if not self._storage.exists(task.shard.path):
            return task.indices
        state = parts.set_aside_untrusted(self._storage, task.shard.expected(self._settings), self._run_id)
        if state is None:
            return task.indices
        return [index for index in task.indices if index not in state.present or index in state.failed]

    def score_rows(self, space: Space, indices: Sequence[int], batch: Batch, images: torch.Tensor) -> list[Row]:
        """Rows of the scores table, at most as many as the engine scores together; `failed` where an architecture raises."""
        started = time.perf_counter()
        engine = self._engine
        provenance = {"engine": engine.name, "dtype": engine.dtype, "device": self._device.type}
        rows = [empty_score_row(space, i, batch, run_id=self._run_id) | provenance for i in indices]
        networks: dict[int, Network] = {}

        def build(number: int) -> Row:
            networks[number] = self._network(space, indices[number], images.shape[1:])
            return {}

        for number, row in enumerate(rows):
            row |= _or_failed(partial(build, number))
        weights = [SeededWeights(network, batch.seed) for network in networks.values()]
        try:
            results = engine.score_group(list(networks.values()), images, weights)
        except torch.AcceleratorError as error:
            raise _device_lost(error) from error
        for number, result in zip(networks, results, strict=True):
            rows[number] |= _or_failed(partial(_scored, result))
        seconds = (time.perf_counter() - started) / len(rows)
        return [row | {"seconds": seconds} for row in rows]


def _scored(result: Score | Exception) -> Row:
    if isinstance(result, Exception):
        raise result
    if math.isnan(result.score):
        raise ArithmeticError("the score is NaN")
    values = {
        "score": result.score,
        "score_paper": result.score_paper,
        "num_units": result.num_units,
        "status": result.status,
    }
    schema.check_values(schema.SCORES, values)
    return values


def empty_score_row(space: Space, index: int, batch: Batch, *, run_id: str) -> Row:
    """A row of the scores table with its key, of no engine and without a score yet."""
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
        "engine": "none",
        "dtype": "none",
        "device": "none",
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
        values = {
            "benchmark_index": space.benchmark_index(arch_id),
            "architecture": space.architecture(arch_id),
            "isomorphism_class": space.isomorphism_class(arch_id),
            "params": network.params,
            "flops": network.flops,
            "num_relus": network.num_relus,
            "num_layers": network.num_layers,
            "status": schema.STATUS_OK,
        }
        schema.check_values(schema.ARCHITECTURES, values)
        return values

    return row | _or_failed(derive)


def count_written(storage: Storage, task: Task, run_id: str, indices: Collection[int]) -> Counter[str]:
    """How many of some rows of a task a run has written already, by status.

    Rows of the architectures table do not tell which run wrote them; they count as others'.

    Raises:
        DatasetError: the part is damaged, or cannot be read.
    """
    if task.shard.point.batch is None:
        return Counter()
    return parts.count_statuses(storage, task.shard.path, run_id, indices)


def write_failed(storage: Storage, space: Space, task: Task, error: str, run_id: str, settings: Settings) -> Receipt:
    """Record the one architecture of a task that could not be computed in any worker."""
    (index,), batch = task.indices, task.shard.point.batch
    row = empty_architecture_row(space, index) if batch is None else empty_score_row(space, index, batch, run_id=run_id)
    part = write_rows(storage, task.shard, [row | {"error": error}], run_id, settings)
    return Receipt({schema.STATUS_FAILED: 1}, part=part, notes=storage.take_notes())


def write_rows(storage: Storage, shard: Shard, rows: Sequence[Row], run_id: str, settings: Settings) -> PurePosixPath:
    """Write rows to their shard's part.

    Returns:
        the path of the part.

    Raises:
        DatasetError: the part could not be written.
    """
    parts.write(storage, shard.expected(settings), rows, by=run_id)
    return shard.path


def _or_failed(compute: Callable[[], Row]) -> Row:
    try:
        return compute()
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        reason = f"OutOfMemoryError: {error}"
    except torch.AcceleratorError as error:
        raise _device_lost(error) from error
    except Exception as error:  # whatever one architecture does must not cost its shard; the row tells
        reason = f"{type(error).__name__}: {error}"
    # The reason may quote a file: text that Parquet cannot hold, or a megabyte of it.
    return {"status": schema.STATUS_FAILED, "error": reason[:MAX_ERROR_CHARACTERS].encode(errors="replace").decode()}


def _device_lost(error: torch.AcceleratorError) -> DeviceLostError:
    """Whatever CUDA reports but for a want of memory (an illegal address, a device assertion) stays: each later call fails."""
    return DeviceLostError(str(error).strip().partition("\n")[0])


def _keep_freed_memory() -> None:
    """Have glibc keep the memory of freed tensors instead of giving it back and mapping it anew (bench/throughput.py)."""
    m_trim_threshold, m_mmap_threshold = -1, -3  # <malloc.h>
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    mallopt(m_mmap_threshold, 32 * 2**20)  # the most it takes
    mallopt(m_trim_threshold, 2**31 - 1)
