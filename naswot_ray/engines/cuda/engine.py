"""The engine `cuda` scores many architectures at a time."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from naswot_ray.engines.cuda.draws import Drawing, drawing_of
from naswot_ray.engines.cuda.group import merge
from naswot_ray.engines.cuda.jobs import lower
from naswot_ray.engines.cuda.memory import SHARE, Workspace
from naswot_ray.engines.cuda.results import Results
from naswot_ray.engines.cuda.tables import Lowered
from naswot_ray.engines.engine import Engine, Scores, check_shape, scores_of, statistics_of
from naswot_ray.engines.weights import WeightSource
from naswot_ray.errors import SettingsError
from naswot_ray.measures.kernel import log_det
from naswot_ray.measures.measure import Measure
from naswot_ray.measures.statistics import ForwardPass, LogDets, Statistic
from naswot_ray.network import Network

LOCKSTEP = 64
"""How many architectures run together, where memory allows. So many fill a device, and share the cost of each launch."""

_DTYPES = {"float32": (torch.float32, "ieee"), "tf32": (torch.float32, "tf32"), "bfloat16": (torch.bfloat16, "ieee")}
"""Name -> the dtype in which activations and weights are stored, and the precision in which convolutions multiply them. Sums
are always taken in float32."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An architecture on the host, ready to be merged."""

    position: int
    lowered: Lowered
    drawing: Drawing


@dataclass(frozen=True, slots=True)
class _Running:
    """A group whose kernels have been launched."""

    group: Sequence[_Prepared]
    results: Results


class CudaEngine(Engine):
    """Executes the programs of a group of architectures in lockstep, on one GPU.

    `score_group` returns no kernels; they stay on the device. Every bit of a score depends only on its own network, images and
    weights, never on what else is in the group.

    Args:
        dtype: `float32`; `tf32`, where convolutions round their factors to 10 bits; or `bfloat16`, where activations and
            weights are stored in that format. With any of them K is exact for the sign bits that the arithmetic gave.

    Raises:
        SettingsError: the dtype is unknown, or there is no GPU or no Triton. With Triton's interpreter (TRITON_INTERPRET=1) a
            CPU is enough.
    """

    name = "cuda"
    statistics = frozenset(Statistic) - {Statistic.ACTIVATIONS}
    dtypes = tuple(_DTYPES)
    max_group = 16 * LOCKSTEP  # several groups, so that the host prepares one while the device runs another

    def __init__(self, dtype: str = "float32") -> None:
        super().__init__(dtype)
        if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
            raise SettingsError("engine cuda: PyTorch sees no CUDA device; use engine fast or exact")
        try:
            from naswot_ray.engines.cuda import launches  # noqa: PLC0415  not every platform has Triton
        except ImportError as error:
            raise SettingsError(f"engine cuda: needs Triton, which PyTorch's CUDA builds for Linux bring ({error})") from error
        self._launches = launches
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._storage, self._precision = _DTYPES[dtype]
        self._workspace = Workspace(self._device, self._storage)
        self._quantiles = launches.quantiles_on(self._device)
        self._lock = threading.Lock()  # one caller at a time uses the workspace

    def run_forward(
        self, network: Network, images: torch.Tensor, weights: WeightSource, wanted: Collection[Statistic]
    ) -> ForwardPass:
        """Run a network on a batch. Arguments and errors are those of `exact`.

        Raises:
            torch.OutOfMemoryError: the device has too little memory left.
        """
        needed = {*wanted, Statistic.KERNELS} - {Statistic.LOG_DETS}
        prepared = _prepare(0, network, images, weights, needed)
        with self._lock:
            results = self._start([prepared], self._flat(images), len(images), needed).results
            results.wait()
            found = results.statistics(0)
        if Statistic.LOG_DETS in wanted:
            kernels = found[Statistic.KERNELS]
            found[Statistic.LOG_DETS] = LogDets(log_det(kernels.published), log_det(kernels.paper))
        return ForwardPass(network.plan.codes, len(images), found)

    def score_group(
        self,
        networks: Sequence[Network],
        images: torch.Tensor,
        weights: Sequence[WeightSource],
        measures: Sequence[Measure],
    ) -> list[Scores | Exception]:
        """Score networks on one batch.

        While the device runs a group of them, the host prepares the next one.

        Args:
            networks: any number of networks, of any space. The more alike they are, the fewer launches they take.
            images: as in `run_forward`, on any device.
            weights: one source for each network. `SeededWeights` are drawn on the device.
            measures: which measures to take of each network.

        Returns:
            for each network its scores, or the exception it raised. If a group fails, for instance because memory runs out, it
            is halved until only the architectures that fail by themselves are left.

        Raises:
            torch.AcceleratorError: the device is lost and cannot compute anything more in this process.
        """
        with self._lock:
            return self._score_in_lockstep(networks, images, weights, measures)

    def _score_in_lockstep(
        self,
        networks: Sequence[Network],
        images: torch.Tensor,
        weights: Sequence[WeightSource],
        measures: Sequence[Measure],
    ) -> list[Scores | Exception]:
        results: dict[int, Scores | Exception] = {}
        wanted = statistics_of(measures)
        flat = self._flat(images)
        todo = deque(range(len(networks)))
        ready: deque[_Prepared] = deque()
        running: _Running | None = None
        limit = LOCKSTEP
        while todo or ready or running is not None:
            group = self._next_group(todo, ready, limit, networks, images, weights, wanted, results)
            started = None
            if group:
                try:
                    started = self._start(group, flat, len(images), wanted)
                    limit = min(LOCKSTEP, 2 * limit)
                except Exception as error:  # memory ran out, or one architecture failed
                    self._recover(error)
                    if len(group) == 1:
                        results[group[0].position] = error.with_traceback(None)
                    else:
                        ready.extendleft(reversed(group))
                        limit = len(group) // 2
            if running is not None:
                running.results.wait()
                for number, one in enumerate(running.group):
                    forward = ForwardPass(one.lowered.codes, len(images), running.results.statistics(number))
                    results[one.position] = scores_of(networks[one.position], forward, measures)
            running = started
        return [results[position] for position in range(len(networks))]

    def _flat(self, images: torch.Tensor) -> torch.Tensor:
        """Images in the kernels' layout: NHWC, flat, on the device."""
        return images.to(self._device).permute(0, 2, 3, 1).reshape(-1).to(self._storage)

    def _next_group(
        self,
        todo: deque[int],
        ready: deque[_Prepared],
        limit: int,
        networks: Sequence[Network],
        images: torch.Tensor,
        weights: Sequence[WeightSource],
        wanted: Collection[Statistic],
        results: dict[int, Scores | Exception],
    ) -> list[_Prepared]:
        """Take as many architectures as `limit` and memory allow, but at least one if any is left.

        An architecture that cannot be prepared gets its exception as its result.
        """
        free = self._workspace.free_bytes()
        budget = math.inf if free is None else SHARE * free
        group: list[_Prepared] = []
        while len(group) < limit and (ready or todo):
            if not ready:
                position = todo.popleft()
                try:
                    ready.append(_prepare(position, networks[position], images, weights[position], wanted))
                except Exception as error:  # it concerns one architecture, and is recorded as its result
                    results[position] = error
                    continue
            budget -= self._workspace.estimate(ready[0].lowered, len(images), wanted)
            if group and budget < 0:
                break
            group.append(ready.popleft())
        return group

    def _recover(self, error: Exception) -> None:
        """Release the memory after a failure.

        Raises:
            torch.AcceleratorError: the device is lost, whether `error` or the next call says so.
        """
        if isinstance(error, torch.AcceleratorError):
            raise error
        self._workspace.release()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def _start(self, group: Sequence[_Prepared], flat_images: torch.Tensor, n: int, wanted: Collection[Statistic]) -> _Running:
        launches = self._launches
        lowered, drawings = [one.lowered for one in group], [one.drawing for one in group]
        merged = merge(lowered, len(flat_images))
        tables = launches.copy_tables(merged, drawings, self._device)
        buffers = self._workspace.buffers(merged, n)
        buffers.arena[: len(flat_images)].copy_(flat_images)
        launches.draw_weights(tables, merged, drawings, buffers, self._quantiles)
        launches.run(merged, tables, buffers, n, self._precision)
        found = launches.find(lowered, merged, tables, buffers, n, wanted)
        return _Running(group, Results(lowered, found, wanted))


def _prepare(
    position: int, network: Network, images: torch.Tensor, source: WeightSource, wanted: Collection[Statistic]
) -> _Prepared:
    check_shape(network, images)
    lowered = lower(network, len(images), wanted)
    return _Prepared(position, lowered, drawing_of(lowered.layers, source))
