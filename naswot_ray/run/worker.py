"""What runs next to the data: scores the architectures of a task and writes their part."""

from __future__ import annotations

import ctypes
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial

import torch

from naswot_ray.dataset import parts, schema
from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.storage import Storage
from naswot_ray.engines.engine import Engine, Scores, default_engine, get_engine
from naswot_ray.engines.score import as_batch
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.grid.grid import Batch, Task
from naswot_ray.measures import DEFAULT_MEASURES, get_measures
from naswot_ray.network import Network
from naswot_ray.run.rows import (
    DeviceLostError,
    Pixels,
    Receipt,
    Row,
    architecture_row,
    count_written,
    empty_score_row,
    or_failed,
    write_rows,
)
from naswot_ray.spaces import Space

WRITE_SECONDS = 600.0
"""After so long a worker writes what it has."""

NUM_NETWORKS = 1024
"""Graphs that a worker keeps, at 120 KB each, of NDS up to 500: those of a shard, for the next batch that it scores them on."""


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
        state = parts.trusted_state(self._storage, task.shard.expected(self._settings), self._run_id)
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
            results = engine.score_group(list(networks.values()), images, weights, get_measures(DEFAULT_MEASURES))
        except torch.AcceleratorError as error:
            raise _device_lost(error) from error
        for number, result in zip(networks, results, strict=True):
            rows[number] |= _or_failed(partial(_scored, result))
        seconds = (time.perf_counter() - started) / len(rows)
        return [row | {"seconds": seconds} for row in rows]


def _scored(result: Scores | Exception) -> Row:
    if isinstance(result, Exception):
        raise result
    values = {
        "score": result["naswot"],
        "score_paper": result["naswot_paper"],
        "num_units": result.num_units,
        "status": result.status,
    }
    schema.check_values(schema.SCORES, values)
    return values


def _or_failed(compute: Callable[[], Row]) -> Row:
    return or_failed(partial(_on_device, compute))


def _on_device(compute: Callable[[], Row]) -> Row:
    try:
        return compute()
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        raise
    except torch.AcceleratorError as error:
        raise _device_lost(error) from error


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
