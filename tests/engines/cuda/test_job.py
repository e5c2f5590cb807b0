"""A job with engine `cuda`: its rows, and what happens if the device is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import naswot_ray
from naswot_ray.engines.cuda.engine import CudaEngine
from naswot_ray.engines.engine import get_engine
from naswot_ray.errors import RunError, SettingsError
from tests.datasets import score_here

OPTIONS: dict[str, Any] = {"space": ["nats_sss"], "limit": 2, "batch_size": [2], "image_size": 8, "engine": "cuda"}


@pytest.mark.usefixtures("make_engine")
def test_rows_tell_engine_and_dtype(tmp_path: Path) -> None:
    record = score_here(tmp_path, **OPTIONS, dtype="tf32")
    assert record.counts == {"rows": 2, "ok": 2}
    rows = naswot_ray.open(tmp_path).scores.to_table().to_pylist()
    assert {(row["engine"], row["dtype"]) for row in rows} == {("cuda", "tf32")}
    images = naswot_ray.load_images("noise", image_size=8).batch(2, seed=0)
    for row in rows:
        expected = naswot_ray.score(row["arch_id"], images, space="nats_sss", engine="exact")
        assert row["num_units"] == expected.num_units
        assert row["naswot"] == pytest.approx(expected["naswot"], abs=0.1)


@pytest.mark.usefixtures("make_engine")
def test_a_lost_device_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nmore of it")

    monkeypatch.setattr(CudaEngine, "_start", lost)
    with pytest.raises(RunError, match=r"the GPU failed \(CUDA error: an illegal memory access was encountered\)"):
        score_here(tmp_path, **OPTIONS)


@pytest.mark.usefixtures("make_engine")
def test_a_node_without_gpu_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    get_engine.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(SettingsError, match="engine cuda: PyTorch sees no CUDA device; use engine fast or exact"):
        score_here(tmp_path, **OPTIONS)
