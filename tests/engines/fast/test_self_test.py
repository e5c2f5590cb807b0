"""The self-test passes on correct kernels, whatever a caller has set in torch, and finds wrong ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from naswot_ray.engines.fast import compiler, shared_library
from naswot_ray.engines.fast.compiler import compile_kernels, find_compiler
from naswot_ray.engines.fast.self_test import _network, find_fault
from naswot_ray.engines.fast.shared_library import load_kernels
from naswot_ray.network.program import Combine, Convolve, Pool, Shift

OTHER = "computes other statistics than torch"


def test_the_kernels_are_right() -> None:
    assert find_fault(load_kernels().functions) is None


def test_it_executes_every_kind_of_instruction() -> None:
    network = _network("kaiming_uniform")
    instructions = [instruction for phase in network.program.phases for instruction in phase]
    assert {type(instruction) for instruction in instructions} == {Convolve, Pool, Shift, Combine}
    assert {type(i.op).__name__ for i in instructions if isinstance(i, Pool)} == {"AvgPool", "MaxPool"}


def test_whatever_a_caller_has_set() -> None:
    kernels = load_kernels().functions
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert find_fault(kernels) is None
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with torch.device("meta"):
            assert find_fault(kernels) is None
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize(
    ("file", "right", "wrong", "fault"),
    [
        ("winograd.h", "odd + (0.125f * m[3] - 8.0f * m[4]) + m[5]", "odd + (0.125f * m[3] + 8.0f * m[4]) + m[5]", "computes"),
        ("combination.h", "RECTIFIED ? 0.0f", "RECTIFIED ? 1.0f", "computes other kernels"),
        ("kernels.cpp", "1 << (masks[unit] % 8)", "1 << (masks[unit] % 4)", f"{OTHER}: swap is"),
        ("log_det.h", "log_dets[lane] -= 2 *", "log_dets[lane] -=", f"{OTHER}: naswot_layerwise is"),
        ("values.h", "(sum - totals[i] * totals[j] / count) / count", "i == j ? sum : 0.0", f"{OTHER}: expressivity is"),
        ("values.h", "constant[i] ? 0 : 1 / std::sqrt(sum)", "constant[i] ? 0 : 1 / sum", f"{OTHER}: meco is"),
        ("kernels.cpp", "quantiles[pieces[i]]", "quantiles[pieces[i] ^ 1]", "draws other weights than numpy (normal_fan_out)"),
        ("kernels.cpp", "(pieces[i] >> 7) | 1", "(pieces[i] >> 7)", "draws other weights than numpy (kaiming_uniform)"),
    ],
)
def test_kernels_that_are_wrong_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, right: str, wrong: str, fault: str
) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(compiler._SOURCES, sources, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    text = (sources / file).read_text()
    assert text.count(right) == 1
    (sources / file).write_text(text.replace(right, wrong))
    monkeypatch.setattr(compiler, "_FLAGS", tuple("-O0" if flag == "-O3" else flag for flag in compiler._FLAGS))
    monkeypatch.setattr(compiler, "_SOURCES", sources)
    with pytest.raises(shared_library._UnusableError, match=r".") as caught:
        shared_library._open_tested(compile_kernels(find_compiler()))
    assert str(caught.value).startswith(fault)
