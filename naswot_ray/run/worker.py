"""The worker: it scores the architectures of a task and writes their part file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial

import torch

from naswot_ray.dataset import parts
from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.part_state import PartState
from naswot_ray.dataset.rows import ScoreRow, TableRow
from naswot_ray.dataset.storage import Storage
from naswot_ray.engines.engine import Engine, Scores, default_engine, get_engine
from naswot_ray.engines.score import as_batch
from naswot_ray.engines.weights import SeededWeights
from naswot_ray.grid.grid import Batch, Task
from naswot_ray.grid.rows import architecture_row, count_written, failed_score_row, reason_of, write_rows
from naswot_ray.measures import DEFAULT_MEASURES, get_measures
from naswot_ray.network import Network
from naswot_ray.run.receipt import DeviceLostError, Pixels, Receipt
from naswot_ray.spaces import Space

WRITE_SECONDS = 600.0
"""Seconds of scoring after which a worker writes the rows that it has and hands back the rest."""

NUM_NETWORKS = 1024
"""How many network graphs a worker caches, to use them again when the same shard is scored on the next batch.

One takes about 120 KB (up to 500 KB for NDS).
"""


class Worker:
    """Scores tasks, one after the other, in one process.

    Args:
        root: the dataset's address.
        run_id: the run's id, written to each row.
        settings: the dataset's settings.
        engine: the name of the engine; None for the default engine of the device.
        dtype: the data type that convolutions multiply.
        measures: names of the measures that each row is to have.
    """

    def __init__(
        self,
        root: str,
        run_id: str,
        settings: Settings,
        *,
        engine: str | None = None,
        dtype: str = "float32",
        measures: Sequence[str] = DEFAULT_MEASURES,
    ) -> None:
        self._measures = tuple(measures)
        self._storage = Storage(root)
        self._run_id = run_id
        self._settings = settings
        self._device = torch.device("cuda" if torch.cuda.is_available() and engine != "fast" else "cpu")
        self._open_engine = partial(get_engine, engine or default_engine(self._device), dtype)
        self._told = False
        self._networks: dict[tuple[object, ...], Network] = {}

    def run(self, task: Task, space: Space, images: Pixels | None) -> Receipt:
        """Do a task: compute its rows and write them to the shard's part file.

        Rows that exist are not computed again. Another run may have written them, or an earlier attempt that was cut off.

        An architecture that raises an error becomes a `failed` row. Only the storage or the device can make a task fail.

        After `WRITE_SECONDS` the rows so far are written and the rest is handed back. So a worker that dies loses no more than
        that, and a worker that hangs can be told from one that has large networks.

        Args:
            task: which rows of which shard.
            space: the space of the shard. It comes with each task, because a worker that died starts again with nothing.
            images: the batch of the shard, shape (n, c, h, w), float32; None for a shard of the architectures table.

        Returns:
            what was done; `left` names the rows that were handed back.

        Raises:
            DatasetError: the part file could not be written.
            DeviceLostError: the GPU failed for good, and the process must be started again.
            SettingsError: the engine cannot run on this machine.
        """
        todo = self._left_to_do(task)
        left = [index for indices in todo.values() for index in indices]
        counts = count_written(self._storage, task, self._run_id, frozenset(task.indices) - frozenset(left), self._measures)
        skipped = len(task.indices) - len(left) - counts.total()
        if not left:
            return Receipt(counts, skipped, notes=self._storage.take_notes())
        rows: list[TableRow] = []
        started = time.monotonic()
        for some in self._rows(task, todo, space, images):
            rows += some
            if time.monotonic() - started > WRITE_SECONDS:
                break
        counts += write_rows(self._storage, task.shard, rows, self._run_id, self._settings, self._measures)
        return Receipt(counts, skipped, task.shard.path, self._take_notes(), tuple(sorted(left[len(rows) :])))

    def open(self) -> None:
        """Open the engine, so that an engine which cannot run here is noticed before anything is written.

        Raises:
            SettingsError: the engine cannot run on this machine, or cannot compute a measure.
        """
        self._engine.check_measures(get_measures(self._measures))

    @cached_property
    def _engine(self) -> Engine:
        """The engine, opened when it is first needed: a worker that scores nothing needs none."""
        return self._open_engine()

    def _take_notes(self) -> tuple[str, ...]:
        notes = self._storage.take_notes()
        if "_engine" in self.__dict__ and self._engine.note and not self._told:
            self._told = True
            notes = (*notes, self._engine.note)
        return notes

    def _rows(
        self, task: Task, todo: dict[tuple[str, ...], list[int]], space: Space, images: Pixels | None
    ) -> Iterator[Sequence[TableRow]]:
        """Yield the rows of a task, as many at a time as the engine scores together."""
        batch = task.shard.point.batch
        if batch is None:
            yield from ([architecture_row(space, index)] for indices in todo.values() for index in indices)
            return
        assert images is not None
        pixels = as_batch(images).to(self._device)
        size = self._engine.max_group
        for measures, indices in todo.items():
            for start in range(0, len(indices), size):
                yield self.score_rows(space, indices[start : start + size], batch, pixels, measures)

    def _network(self, space: Space, index: int, input_shape: Sequence[int]) -> Network:
        """An architecture's graph, with what engines have derived from it. It is cached for the next batch."""
        key = (space.name, *input_shape, index)
        network = self._networks.pop(key, None) or space.network(space[index], input_shape=input_shape)
        self._networks[key] = network
        if len(self._networks) > NUM_NETWORKS:
            del self._networks[next(iter(self._networks))]
        return network

    def _left_to_do(self, task: Task) -> dict[tuple[str, ...], list[int]]:
        """Which rows of a task are left to do: measures -> positions of the rows that lack exactly these.

        Rows of the architectures table have no measures.
        """
        measures = () if task.shard.point.batch is None else self._measures
        state = parts.trusted_state(self._storage, task.shard.expected(self._settings), self._run_id) or PartState()
        todo: dict[tuple[str, ...], list[int]] = {}
        for index in task.indices:
            # A failed row is part of a task only if it is to be scored again.
            needed = state.needs(index, measures, retry_failed=True)
            if needed is not None:
                todo.setdefault(needed, []).append(index)
        return todo

    def score_rows(
        self, space: Space, indices: Sequence[int], batch: Batch, images: torch.Tensor, measures: Sequence[str]
    ) -> list[ScoreRow]:
        """Score architectures together.

        Args:
            space: the space of the architectures.
            indices: their positions in the space, at most as many as the engine scores together.
            batch: which images they are, for the rows, and the seed of the weights.
            images: the images, shape (n, c, h, w), float32, on the engine's device.
            measures: names of the measures to compute.

        Returns:
            a row of the scores table for each position; its status is `failed` if the architecture raised an error.

        Raises:
            DeviceLostError: the GPU failed for good.
        """
        started = time.perf_counter()
        found: dict[int, Network | Scores | Exception] = {index: self._built(space, index, images) for index in indices}
        built = {index: network for index, network in found.items() if isinstance(network, Network)}
        weights = [SeededWeights(network, batch.seed) for network in built.values()]
        try:
            results = self._engine.score_group(list(built.values()), images, weights, get_measures(measures))
        except torch.AcceleratorError as error:
            raise _device_lost(error) from error
        found |= dict(zip(built, results, strict=True))
        seconds = (time.perf_counter() - started) / len(indices)
        return [self._row(space, index, batch, found[index], seconds) for index in indices]

    def _built(self, space: Space, index: int, images: torch.Tensor) -> Network | Exception:
        try:
            return self._network(space, index, images.shape[1:])
        except Exception as error:  # one architecture must not fail its whole shard; its row gets the error
            return error

    def _row(self, space: Space, index: int, batch: Batch, found: Network | Scores | Exception, seconds: float) -> ScoreRow:
        if isinstance(found, torch.OutOfMemoryError):
            torch.cuda.empty_cache()
        elif isinstance(found, torch.AcceleratorError):
            raise _device_lost(found) from found
        row = failed_score_row(space, index, batch, "", run_id=self._run_id)
        engine = self._engine
        row = replace(row, engine=engine.name, dtype=engine.dtype, device=self._device.type, seconds=seconds)
        if isinstance(found, Exception):
            return replace(row, error=reason_of(found))
        assert isinstance(found, Scores)
        return replace(row, values=dict(found), errors=found.errors, num_units=found.num_units, error=None)


def _device_lost(error: torch.AcceleratorError) -> DeviceLostError:
    """After any CUDA error except a lack of memory (an illegal address, a device assertion), each later call fails as well."""
    return DeviceLostError(str(error).strip().partition("\n")[0])
