"""The engine on a real device if there is one; otherwise on the CPU in Triton's interpreter, which is slow and gets small
sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from naswot_ray.engines.cuda import memory
from naswot_ray.engines.cuda.group import Merged
from naswot_ray.engines.engine import Scores, get_engine
from tests.interpreter import ENVIRONMENT, INTERPRETED, triton


@dataclass(frozen=True)
class Size:
    """Images of a batch."""

    num_images: int
    height: int

    def images(self, num_images: int | None = None) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        return torch.randn(num_images or self.num_images, 3, self.height, self.height, generator=generator)


@pytest.fixture(scope="package", autouse=True)
def interpreter() -> Iterator[None]:
    """Use Triton's interpreter, but only in this folder, if there is no device."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        if triton is not None and INTERPRETED:
            patch.setattr(triton.runtime.interpreter.InterpreterBuilder, "create_dot", _dot)
        yield
    get_engine.cache_clear()  # tests elsewhere must not find a GPU


def _dot(builder: Any, a: Any, b: Any, d: Any, input_precision: Any, max_num_imprecise_acc: int) -> Any:
    """A product as tensor cores compute it. The interpreter's own multiplies bit patterns of bfloat16, and does not know
    tf32."""
    left, right = (_as_multiplied(x, is_tf32="TF32" in str(input_precision)) for x in (a, b))
    return type(d)(np.matmul(left, right, dtype=d.data.dtype) + d.data, d.dtype.scalar)


def _as_multiplied(x: Any, *, is_tf32: bool) -> Any:
    if str(x.dtype.scalar) == "bf16":
        return (x.data.astype(np.uint32) << 16).view(np.float32)
    if str(x.dtype.scalar) == "fp32" and is_tf32:
        return ((x.data.view(np.uint32) + (1 << 12)) >> 13 << 13).view(np.float32)  # 10 bits after the binary point
    return x.data


@pytest.fixture(autouse=True)
def _poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a group find NaN wherever it has not written."""
    buffers = memory.Workspace.buffers

    def poisoned(self: memory.Workspace, merged: Merged, num_images: int) -> memory.Buffers:
        found = buffers(self, merged, num_images)
        self._memory.fill_(0xFF)
        return found

    monkeypatch.setattr(memory.Workspace, "buffers", poisoned)


def scores(found: Sequence[Scores | Exception]) -> list[Scores]:
    """The scores of a group. Raises the exception with which a member of the group failed."""
    for one in found:
        if isinstance(one, Exception):
            raise one
    return [one for one in found if isinstance(one, Scores)]


@pytest.fixture
def size() -> Size:
    return Size(3, 8) if INTERPRETED else Size(128, 32)


@pytest.fixture
def make_engine() -> Any:
    """The engine's class. The test is skipped without Triton. The engine's memory starts as NaN, so reading unwritten memory
    shows."""
    if triton is None:
        pytest.skip("needs triton")
    from naswot_ray.engines.cuda.engine import CudaEngine  # noqa: PLC0415  imports Triton

    return CudaEngine
