"""The engine `fast` computes the same score as `exact`, up to rounding, on a CPU in a fraction of the time."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

from naswot_ray.engines import exact
from naswot_ray.engines.engine import Engine, check_shape
from naswot_ray.engines.fast import program_torch
from naswot_ray.engines.fast.compiler import BuildError
from naswot_ray.engines.fast.deep import enlarges_rounding, exact_bytes
from naswot_ray.engines.fast.memory import check_memory
from naswot_ray.engines.fast.program_native import NativeExecutor
from naswot_ray.engines.fast.shared_library import load_kernels
from naswot_ray.engines.weights import WeightSource
from naswot_ray.measures.kernel import log_det
from naswot_ray.measures.statistics import ForwardPass, LogDets, Statistic
from naswot_ray.network import Network


class FastEngine(Engine):
    """Executes a network's program in the kernels of kernels.cpp, or in torch where these cannot be built.

    Networks that amplify rounding errors run as in `exact` (deep.py).

    Attributes:
        note: a message for the operator: why the engine runs in torch, or why it had to build its kernels again.
        last_stages: stage -> seconds that the last network took in it; empty if torch executed the network.
    """

    name = "fast"
    statistics = frozenset(Statistic) - {Statistic.ACTIVATIONS}

    def __init__(self, dtype: str = "float32") -> None:
        super().__init__(dtype)
        self._native: NativeExecutor | None = None
        try:
            loaded = load_kernels()
        except BuildError as error:
            self.note = f"engine fast runs in torch alone and takes longer: {error}"
        else:
            self.note = loaded.note
            self._native = NativeExecutor(loaded.functions)
        self.last_stages: Mapping[str, float] = {}

    def run_forward(
        self, network: Network, images: torch.Tensor, weights: WeightSource, wanted: Collection[Statistic]
    ) -> ForwardPass:
        """Run a network on a batch. Arguments and errors are those of `exact`.

        Raises:
            MemoryError: the network needs more memory than there is. Nothing was computed.
        """
        check_shape(network, images)
        if images.device.type != "cpu":
            raise ValueError(f"engine fast runs on a CPU, the images are on {images.device}")
        self.last_stages = {}
        if enlarges_rounding(network.plan):
            check_memory(exact_bytes(network.plan, len(images)))
            return exact.run_forward(network, images, weights, wanted)
        program = network.program
        if self._native is None or not program.phases:
            return program_torch.execute(program, images, weights, wanted)
        found = self._native.execute(program, images, weights, wanted)
        self.last_stages = self._native.last_stages
        if Statistic.LOG_DETS in wanted:
            kernels = found[Statistic.KERNELS]
            found[Statistic.LOG_DETS] = LogDets(log_det(kernels.published), log_det(kernels.paper))
        return ForwardPass(program.codes, len(images), found)
