"""Compares scores with parity vectors, which hold what the published NASWOT code gave for a network, weights and a batch.

A vector file is JSON. It has a `recipe` for the weights, and `cases` with the published score and facts of K by batch size.
To check a new space, add the vectors' name of the space and a function from case to `Network` to `NETWORKS`.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from naswot_ray.engines.engine import Engine
from naswot_ray.engines.score import score_with_weights
from naswot_ray.engines.weights import WeightSource
from naswot_ray.errors import NaswotError
from naswot_ray.measures.kernel import IntMatrix
from naswot_ray.network import Network, ops
from naswot_ray.spaces import get_space, nasbench101, nds

Case = Mapping[str, Any]
Recipe = Mapping[str, Any] | str

SCORE_TOLERANCE = 1e-3

VECTORS = Path(__file__).parent / "vectors"
"""The vector files of this repository."""


def _nb201(case: Case) -> Network:
    return get_space("nasbench201").network(case["arch"], input_shape=(3, case["hw"], case["hw"]))


def _sss(case: Case) -> Network:
    return get_space("nats_sss").network(case["channels"], input_shape=(3, case["hw"], case["hw"]))


def _nds(case: Case) -> Network:
    shape = (3, case["hw"], case["hw"])
    return nds.build_network(case["family"], case["net"], arch_id=case["name"], input_shape=shape, num_classes=10)


def _nb101(case: Case) -> Network:
    shape = (3, case["hw"], case["hw"])
    return nasbench101.build_network(case["matrix"], case["ops"], arch_id=case["name"], input_shape=shape)


NETWORKS: dict[str, Callable[[Case], Network]] = {"nb101": _nb101, "nb201": _nb201, "sss": _sss, "nds": _nds}
"""The vectors' name of a space -> a function from a case to its network. Cases of other spaces are reported as unsupported."""


class VectorsError(Exception):
    """A file is not a file of parity vectors."""


@dataclass(frozen=True)
class Vectors:
    """The content of a vector file."""

    path: Path
    recipe: Recipe
    cases: Sequence[Case]


@dataclass(frozen=True)
class Comparison:
    """One case at one batch size.

    Attributes:
        differences: everything that is out of tolerance, as `what: expected ..., got ...`; empty if the case passes.
        bit_identical: whether K has the SHA-256 of the published code's K.
        score_error: |score - published score|, or 0 if either is not finite.
    """

    case: Case
    batch_size: int
    differences: tuple[str, ...]
    bit_identical: bool = False
    score_error: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.differences


def read_vectors(path: Path) -> Vectors:
    """Read a vector file.

    Raises:
        VectorsError: the file cannot be read, or is not a vector file.
    """
    try:
        content = json.loads(path.read_text())
        vectors = Vectors(path, content["recipe"], content["cases"])
        for case in vectors.cases:
            if not case["results"] or not isinstance(case["space"], str):
                raise VectorsError(f"{path}: case {case['name']!r} has no results or no space")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VectorsError(f"{path} is not a file of parity vectors: {type(error).__name__}: {error}") from error
    if not isinstance(vectors.recipe, str) and "salt" not in vectors.recipe:
        raise VectorsError(f"{path}: unknown recipe, neither an order-keyed text nor an object with a 'salt'")
    return vectors


def batch_sizes(case: Case, max_n: int | None = None) -> list[int]:
    """The batch sizes of a case, up to `max_n`."""
    return sorted(n for n in map(int, case["results"]) if max_n is None or n <= max_n)


def compare_case(recipe: Recipe, case: Case, batch_size: int, *, engine: Engine | str = "exact") -> Comparison:
    """Score a case at a batch size, and compare it with its vector."""
    # The published code fails on an auxiliary head. Here such a network is built without it, so its case expects a score.
    has_head = case.get("expect") == "error" and bool(case.get("net", {}).get("aux"))
    expect_error = case.get("expect") == "error" and not has_head
    try:
        if has_head:
            return _compare_without_head(recipe, case, batch_size, engine)
        network = NETWORKS[case["space"]](case)
        batch, weights = batch_of(case, batch_size), weights_of(recipe, network)
        result = score_with_weights(network, batch, weights, engine=engine, return_kernel=True)
        assert result.kernel is not None
    except Exception as error:  # a case that breaks must not hide the others
        message = f"{type(error).__name__}: {error}"
        if expect_error and isinstance(error, (NaswotError, ValueError)):
            return Comparison(case, batch_size, ())
        wanted = "a NaswotError or ValueError" if expect_error else "a score"
        return Comparison(case, batch_size, (f"expected {wanted}, got {message}",))
    if expect_error:
        return Comparison(case, batch_size, (f"expected a NaswotError or ValueError, got the score {result['naswot']}",))
    expected = case["results"][str(batch_size)]
    try:
        differences = [
            *_integer_differences(expected, result.kernel, result.num_units),
            *_score_difference(float(expected["score"]), result["naswot"]),
        ]
    except KeyError as error:
        return Comparison(case, batch_size, (f"the vector lacks {error}",))
    score_error = abs(float(expected["score"]) - result["naswot"])
    return Comparison(
        case,
        batch_size,
        tuple(differences),
        bit_identical=sha256_of(result.kernel) == expected.get("K_sha256"),
        score_error=score_error if math.isfinite(score_error) else 0.0,
    )


def _compare_without_head(recipe: Recipe, case: Case, batch_size: int, engine: Engine | str) -> Comparison:
    """A record with an auxiliary head must have the score of the same record without it."""
    records = ({**case, "net": {**case["net"], "aux": aux}} for aux in (False, True))
    networks = [NETWORKS[case["space"]](record) for record in records]
    batch = batch_of(case, batch_size)
    expected, got = (
        score_with_weights(network, batch, weights_of(recipe, network), engine=engine)["naswot"] for network in networks
    )
    differences = _score_difference(expected, got) if math.isfinite(expected) else [f"score: expected finite, got {expected}"]
    return Comparison(case, batch_size, tuple(differences))


def _integer_differences(expected: Mapping[str, Any], K_nn: IntMatrix, num_units: int) -> list[str]:
    differences = []
    if num_units != expected["n_units"]:
        differences.append(f"n_units: expected {expected['n_units']}, got {num_units}")
    trace = int(K_nn.trace())
    if trace != expected["K_trace"]:
        differences.append(f"K_trace: expected {expected['K_trace']}, got {trace}")
    if not np.array_equal(K_nn.diagonal(), np.full(len(K_nn), num_units)):
        differences.append(f"diag(K): expected {num_units} throughout, got {K_nn.diagonal().tolist()}")
    tolerance = max(8, 2e-4 * expected["n_units"])
    row = expected.get("K_row0_8", [])
    largest = max((abs(int(a) - b) for a, b in zip(K_nn[0], row, strict=False)), default=0)
    if largest > tolerance:
        differences.append(f"K_row0_8: expected {row}, got {K_nn[0, : len(row)].tolist()} (tolerance {tolerance:g})")
    total = int(K_nn.sum())
    if "K_sum" in expected and abs(total - expected["K_sum"]) > tolerance * K_nn.size:
        differences.append(f"K_sum: expected {expected['K_sum']}, got {total} (tolerance {tolerance * K_nn.size:g})")
    return differences


def _score_difference(expected: float, got: float) -> list[str]:
    agree = got == expected or abs(got - expected) <= SCORE_TOLERANCE  # -inf equals only -inf, and NaN equals nothing
    return [] if agree else [f"score: expected {expected}, got {got} (tolerance {SCORE_TOLERANCE:g})"]


def sha256_of(K_nn: IntMatrix) -> str:
    """The digest of a kernel as the vectors give it: of little-endian int64 in C order."""
    return hashlib.sha256(np.ascontiguousarray(K_nn, dtype="<i8").tobytes()).hexdigest()


def batch_of(case: Case, batch_size: int) -> npt.NDArray[np.float32]:
    """The batch of a case, shape (batch_size, 3, hw, hw)."""
    shape = (batch_size, 3, case["hw"], case["hw"])
    return np.random.default_rng(case["batch_seed"]).standard_normal(shape, dtype=np.float32)


def weights_of(recipe: Recipe, network: Network) -> WeightSource:
    """The weights that a file's recipe gives a network.

    A recipe is shape-keyed or order-keyed. If it is shape-keyed (an object with a salt), tensors of one shape are equal. If it
    is order-keyed (a text), the k-th executed layer of a shape has values of its own.
    """
    if isinstance(recipe, str):
        seen: Counter[ops.Shape] = Counter()
        seeds: dict[int, Any] = {}
        for layer in network.layers:
            shape = layer.weight_shape
            seeds[layer.layer] = [_crc32(shape) ^ 0x4E415357, seen[shape]]
            seen[shape] += 1
        return lambda layer: _drawn(layer.weight_shape, seeds[layer.layer])
    salt = int(recipe["salt"])
    return lambda layer: _drawn(layer.weight_shape, _crc32(layer.weight_shape) ^ salt)


def _crc32(shape: ops.Shape) -> int:
    return zlib.crc32(repr(shape).encode())


def _drawn(shape: ops.Shape, seed: int | list[int]) -> torch.Tensor:
    weight = np.random.Generator(np.random.PCG64(seed)).standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(weight * np.float32(math.sqrt(2 / math.prod(shape[1:]))))
