"""Compile the kernels for a GPU that need not exist here, and print as JSON what the compiler reports.

python -m tests.engines.cuda.compiling
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from naswot_ray.engines.cuda.draws import BLOCK
from naswot_ray.engines.cuda.kernels import channels, combine, convolve, gram, weights
from naswot_ray.engines.cuda.tables import BLOCK_M, PRODUCT_ROWS, ROWS_PER_SPLIT
from naswot_ray.measures.statistics import PATTERN_IMAGES

CAPABILITY = 90
"""Compute capability of an H100."""

_POINTERS = {
    "jobs": "*i64", "terms": "*i64", "stats": "*fp32", "partials": "*fp32", "quantiles": "*fp32", "words": "*i32",
    "distances": "*i64", "tensor_distances": "*i32", "pivots": "*fp64", "num_units": "*i64", "occurs": "*i8", "counts": "*i64",
    "covariances": "*fp64",
}  # fmt: skip


def compiled(kernel: Any, storage: str, num_warps: int, constants: dict[str, Any], distances: str = "*i64") -> dict[str, Any]:
    """What a kernel compiles to: bytes of shared memory, registers, spilled bytes, and whether it uses the tensor cores."""
    names = kernel.arg_names
    types = _POINTERS | dict.fromkeys(("arena", "weights", "firsts"), f"*{storage}")
    if kernel is weights.draw:
        types["tiles"] = "*i64"
    if kernel is gram.eliminate:
        types["distances"] = distances
    signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if signature[name].startswith("*")}
    values = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, signature, values, aligned)
    binary = triton.compile(source, target=GPUTarget("cuda", CAPABILITY, 32), options={"num_warps": num_warps})
    ptx = binary.asm["ptx"]
    said = _assemble(ptx)
    return {
        "kernel": kernel.__name__,
        "storage": storage,
        **constants,
        "shared": binary.metadata.shared,
        "registers": int(re.search(r"Used (\d+) registers", said).group(1)),  # type: ignore[union-attr]
        "spilled": int(re.search(r"(\d+) bytes spill stores", said).group(1)),  # type: ignore[union-attr]
        "tensor_cores": "mma" in ptx,
    }


def _assemble(ptx: str) -> str:
    assembler = next((Path(triton.__file__).parent / "backends/nvidia/bin").glob("ptxas*"))
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        command = [str(assembler), "-v", f"--gpu-name=sm_{CAPABILITY}a", "-o", "/dev/null", file.name]
        done: subprocess.CompletedProcess[str] = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stderr


def main() -> None:
    """Compile each kernel as NAS-Bench-201 launches it, and the widest convolution there is."""
    convolution: dict[str, Any] = {"BLOCK_M": BLOCK_M, "COLUMNS": convolve.COLUMNS}
    elementwise: dict[str, Any] = {"BLOCK_P": 128, "BLOCK_C": 16, "ALIGNED": True}
    gram_constants: dict[str, Any] = {"BLOCK_I": 128, "BLOCK_W": 4, "COLUMNS": gram.COLUMNS}
    covariance: dict[str, Any] = {"ROWS_PER_SPLIT": ROWS_PER_SPLIT, "BLOCK_M": PRODUCT_ROWS, "COLUMNS": channels.COLUMNS}
    found = []
    for storage, precision in (("fp32", "ieee"), ("fp32", "tf32"), ("bf16", "ieee")):
        for block_n, block_k, num_warps in ((16, 16, 4), (64, 32, 8), (128, 32, 8)):
            constants = convolution | {"BLOCK_N": block_n, "BLOCK_K": block_k, "FLAT": False, "ALIGNED": True}
            found.append(compiled(convolve.convolve, storage, num_warps, constants | {"PRECISION": precision}))
    constants = convolution | {"BLOCK_N": 16, "BLOCK_K": 32, "FLAT": True, "ALIGNED": False, "PRECISION": "ieee"}
    found += [
        compiled(convolve.convolve, "fp32", 4, constants),
        compiled(convolve.convolve_groups, "fp32", 4, convolution | {"BLOCK_N": 32, "ALIGNED": True}),
        compiled(convolve.measure, "fp32", 8, {"BLOCK_M": BLOCK_M, "BLOCK_N": 64, "COLUMNS": convolve.MEASURE_COLUMNS}),
        compiled(convolve.finalise, "fp32", 4, convolution | {"BLOCK_N": 16, "BLOCK_T": 128}),
        compiled(combine.combine, "fp32", 8, elementwise | {"COLUMNS": combine.COLUMNS, "TERM_COLUMNS": combine.TERM_COLUMNS}),
        compiled(combine.pool, "fp32", 8, elementwise | {"COLUMNS": combine.POOL_COLUMNS}),
        compiled(weights.draw, "fp32", 8, {"BLOCK": BLOCK, "NORMAL": False, "COLUMNS": weights.COLUMNS}),
        compiled(weights.draw, "fp32", 8, {"BLOCK": BLOCK, "NORMAL": True, "COLUMNS": weights.COLUMNS}),
        *(
            compiled(gram.add_distances, "fp32", 8, gram_constants | {"WHOLE": True, "BY_TENSOR": by_tensor})
            for by_tensor in (False, True)
        ),
        compiled(gram.mark_patterns, "fp32", 4, {"BITS": PATTERN_IMAGES, "BLOCK_W": 32, "COLUMNS": gram.COLUMNS}),
        *(compiled(gram.eliminate, "fp32", 32, {"BLOCK": 128}, distances) for distances in ("*i64", "*i32")),
        *(
            compiled(channels.multiply, storage, num_warps, covariance | {"BLOCK_C": block})
            for storage, block, num_warps in (("fp32", 16, 4), ("fp32", 64, 8), ("bf16", 64, 8))
        ),
        compiled(channels.finish, "fp32", 8, {"BLOCK_C": 64, "COLUMNS": channels.COLUMNS}),
        compiled(channels.copy_first, "bf16", 4, {"BLOCK_P": 128, "BLOCK_C": 16, "COLUMNS": channels.FIRST_COLUMNS}),
    ]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
