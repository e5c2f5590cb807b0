"""The kernels compile for an H100, even if this machine has none."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SHARED_MEMORY = 227 * 1024
"""Bytes of shared memory that a program may use on an H100 (CUDA C++ Programming Guide, compute capability 9.0)."""


@pytest.mark.usefixtures("make_engine")  # skips the test without Triton
def test_kernels_compile_and_fit() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.engines.cuda.compiling"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(kernel["shared"] <= SHARED_MEMORY for kernel in found), found
    # float32 is not rounded, so it cannot use the tensor cores. Everything else should use them.
    assert {(k["storage"], k["PRECISION"]) for k in found if k["kernel"] == "convolve" and k["tensor_cores"]} == {
        ("fp32", "tf32"),
        ("bf16", "ieee"),
    }
    assert all(kernel["tensor_cores"] for kernel in found if kernel["kernel"] == "add_distances")
