"""What runs next to the data: scores the architectures of a task and writes their part."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial

import torch

from naswot_ray.dataset import parts
from naswot_ray.dataset.manifest import Settings
from naswot_ray.dataset.parts import PartState
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
"""After so long a worker writes what it has."""

NUM_NETWORKS = 1024
"""Graphs that a worker keeps, at 120 KB each, of NDS up to 500: those of a shard, for the next batch that it scores them on."""


class Worker:
    """Scores tasks, one after the other, in one process.

    Args:
        root: of the dataset.
        run_id: of the run, written to each row.
        settings: of the run.
        engine: what scores; None for the one that suits the device.
        dtype: what its convolutions multiply.
        measures: what each row is to have, by name.
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
        todo = self._left_to_do(task)
        left = [index for indices in todo.values() for index in indices]
        counts = count_written(self._storage, task, self._run_id, frozenset(task.indices) - frozenset(left))
        skipped = len(task.indices) - len(left) - counts.total()
        if not left:
            return Receipt(counts, skipped, notes=self._storage.take_notes())
        rows: list[TableRow] = []
        started = time.monotonic()
        for some in self._rows(task, todo, space, images):
            rows += some
            if time.monotonic() - started > WRITE_SECONDS:
                break
        part = write_rows(self._storage, task.shard, rows, self._run_id, self._settings, self._measures)
        counts += Counter(row.status for row in rows)
        return Receipt(counts, skipped, part, self._take_notes(), tuple(sorted(left[len(rows) :])))

    def open(self) -> None:
        """Make ready for scoring, so that an engine which cannot run here is found out before anything is written.

        Raises:
            SettingsError: the engine cannot run on this machine, or cannot give a measure.
        """
        self._engine.check_measures(get_measures(self._measures))

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

    def _rows(
        self, task: Task, todo: dict[tuple[str, ...], list[int]], space: Space, images: Pixels | None
    ) -> Iterator[Sequence[TableRow]]:
        """The rows of a task, as many at a time as the engine scores together."""
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
        """An architecture's graph, with what engines derive from it; kept for the next batch that it is scored on."""
        key = (space.name, *input_shape, index)
        network = self._networks.pop(key, None) or space.network(space[index], input_shape=input_shape)
        self._networks[key] = network
        if len(self._networks) > NUM_NETWORKS:
            del self._networks[next(iter(self._networks))]
        return network

    def _left_to_do(self, task: Task) -> dict[tuple[str, ...], list[int]]:
        """What rows of a task need still: measures -> the rows that need just these. The architectures table has none."""
        measures = () if task.shard.point.batch is None else self._measures
        state = parts.trusted_state(self._storage, task.shard.expected(self._settings), self._run_id) or PartState()
        todo: dict[tuple[str, ...], list[int]] = {}
        for index in task.indices:
            # A task has failed rows only where they are to be done again.
            needed = state.needs(index, measures, retry_failed=True)
            if needed is not None:
                todo.setdefault(needed, []).append(index)
        return todo

    def score_rows(
        self, space: Space, indices: Sequence[int], batch: Batch, images: torch.Tensor, measures: Sequence[str]
    ) -> list[ScoreRow]:
        """Rows of the scores table, at most as many as the engine scores together; `failed` where an architecture raises."""
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
        except Exception as error:  # whatever one architecture does must not cost its shard; the row tells
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
    """Whatever CUDA reports but for a want of memory (an illegal address, a device assertion) stays: each later call fails."""
    return DeviceLostError(str(error).strip().partition("\n")[0])
